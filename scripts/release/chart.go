package release

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/internal/workload"
)

// The media types by which Helm knows a chart in a registry.
const (
	helmConfig  = "application/vnd.cncf.helm.config.v1+json"
	helmContent = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
)

// component is a component of the kustomizations that the chart offers as a value. It may add objects, and items at the
// end of lists; slack-http replaces fields, so it is not among them.
type component struct{ folder, value string }

// components are in the order in which the chart and a kustomization name them: those for every cluster, then those by
// which Backstop may read a kind of workload that not every cluster has.
var components = componentsOf("unstick", "fast-forward", "alerts", "cross-namespace-refs")

func componentsOf(folders ...string) []component {
	for _, k := range workload.Kinds() {
		if k.Role != "" {
			folders = append(folders, k.Role)
		}
	}
	out := make([]component, len(folders))
	for i, folder := range folders {
		out[i] = component{folder, camelCase(folder)}
	}
	return out
}

// camelCase is the name of a folder as the values of a chart are written.
func camelCase(folder string) string {
	words := strings.Split(folder, "-")
	for i, w := range words[1:] {
		words[i+1] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, "")
}

// chart makes the Helm chart from the kustomizations: what default builds, as templates, with values for what differs
// from cluster to cluster.
func (r *release) chart(context.Context) error {
	files, err := r.chartFiles()
	if err != nil {
		return err
	}
	meta := object{
		"apiVersion": "v2", "name": "backstop", "type": "application", "version": r.bare, "appVersion": r.version,
		"description": short, "home": source, "sources": []string{source}, "kubeVersion": ">=1.33.0-0",
		"annotations": map[string]string{"artifacthub.io/license": "Apache-2.0"},
	}
	text, err := yaml.Marshal(meta)
	if err != nil {
		return fmt.Errorf("write Chart.yaml: %w", err)
	}
	packed := []file{{name: "backstop/Chart.yaml", mode: 0o644, data: text}}
	for _, f := range files {
		packed = append(packed, file{name: "backstop/" + f.name, mode: 0o644, data: f.data})
	}
	content, err := tarball(packed, r.created)
	if err != nil {
		return err
	}
	if err := r.write("backstop-"+r.bare+".tgz", content); err != nil {
		return err
	}
	return r.keep(chartRepository, r.bare, artifact{
		configType: helmConfig, config: toJSON(meta), contentType: helmContent, content: content,
		annotations: r.annotations(short),
	})
}

// chartFiles are the chart without its Chart.yaml.
func (r *release) chartFiles() ([]file, error) {
	base, err := objects(r.tree)
	if err != nil {
		return nil, err
	}
	order := slices.Sorted(maps.Keys(base))
	guarded := map[string]string{}
	for _, c := range components {
		with, err := objects(r.tree, c.folder)
		if err != nil {
			return nil, err
		}
		plain, err := objects(r.tree)
		if err != nil {
			return nil, err
		}
		for _, key := range slices.Sorted(maps.Keys(with)) {
			if plain[key] == nil {
				base[key], guarded[key] = with[key], c.value
				order = append(order, key)
				continue
			}
			grown, err := grow(base[key], plain[key], with[key], c.value)
			if err != nil {
				return nil, fmt.Errorf("component %s, %s: %w", c.folder, key, err)
			}
			base[key] = grown.(object)
		}
	}
	files := []file{{name: "values.yaml", data: []byte(r.values())}, {name: "templates/NOTES.txt", data: []byte(notes)}}
	for _, key := range order {
		o := base[key]
		kind, name := o["kind"].(string), o["metadata"].(object)["name"].(string)
		switch kind {
		case "Namespace": // the release's, which is there
			continue
		case "CustomResourceDefinition":
			text, err := yaml.Marshal(o)
			if err != nil {
				return nil, fmt.Errorf("write %s: %w", key, err)
			}
			files = append(files, file{name: "crds/" + name + ".yaml", data: text})
			continue
		case "Deployment":
			adjustable(o)
		}
		text, err := template(o, guarded[key])
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", key, err)
		}
		files = append(files, file{name: "templates/" + strings.ToLower(kind) + "-" + name + ".yaml", data: []byte(text)})
	}
	credentials, err := r.credentialsTemplate()
	if err != nil {
		return nil, err
	}
	return append(files, file{name: "templates/credentials.yaml", data: []byte(credentials)}), nil
}

// objects builds default with components, by kind and name.
func objects(tree []file, components ...string) (map[string]object, error) {
	built, err := kustomize(tree, "default", components...)
	if err != nil {
		return nil, err
	}
	return byName(built)
}

func byName(built resmap.ResMap) (map[string]object, error) {
	out := map[string]object{}
	for _, res := range built.Resources() {
		o, err := res.Map()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", res.CurId(), err)
		}
		out[path.Join(res.GetKind(), res.GetNamespace(), res.GetName())] = o
	}
	return out, nil
}

// grow gives the template the items that a component adds at the end of lists, between marks that become a condition.
// into has the marks of components before.
func grow(into, plain, with any, value string) (any, error) {
	switch with := with.(type) {
	case object:
		was, ok := plain.(object)
		target, also := into.(object)
		if !ok || !also || len(was) != len(with) {
			return nil, fmt.Errorf("it adds, removes or replaces a field, which the chart cannot say")
		}
		for key, v := range with {
			grown, err := grow(target[key], was[key], v, value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			target[key] = grown
		}
		return target, nil
	case []any:
		was, ok := plain.([]any)
		target, also := into.([]any)
		if !ok || !also || len(with) < len(was) {
			return nil, fmt.Errorf("it replaces a list, which the chart cannot say")
		}
		for i := range was {
			grown, err := grow(target[i], was[i], with[i], value)
			if err != nil {
				return nil, fmt.Errorf("item %d: %w", i, err)
			}
			target[i] = grown
		}
		if len(with) == len(was) {
			return target, nil
		}
		target = append(target, markIf+value)
		target = append(target, with[len(was):]...)
		return append(target, markEnd), nil
	default:
		if with != plain {
			return nil, fmt.Errorf("it replaces %v by %v, which the chart cannot say", plain, with)
		}
		return into, nil
	}
}

// adjustable puts the values that differ from cluster to cluster into the Deployment.
func adjustable(o object) {
	spec := o["spec"].(object)
	spec["replicas"] = markValue + "replicas"
	pod := spec["template"].(object)["spec"].(object)
	for _, field := range []string{"imagePullSecrets", "tolerations", "affinity"} {
		pod[field] = markWith + field
	}
	container := pod["containers"].([]any)[0].(object)
	container["image"] = markImage
	container["resources"] = markWith + "resources"
	container["args"] = append(container["args"].([]any), markRange+"extraArgs")
}

// credentialsTemplate is the component credentials, once for each namespace in the values.
func (r *release) credentialsTemplate() (string, error) {
	text := ""
	for _, f := range r.tree {
		if f.name == "components/credentials/role.yaml" {
			text = string(f.data)
		}
	}
	out := "{{- range .Values.credentials }}\n"
	for part := range strings.SplitSeq(text, "\n---\n") {
		var o object
		if err := yaml.Unmarshal([]byte(part), &o); err != nil || o["metadata"] == nil {
			return "", fmt.Errorf("read the component credentials: %q: %w", part, err)
		}
		o["metadata"].(object)["namespace"] = markItem + "namespace"
		if rules, ok := o["rules"].([]any); ok {
			rules[0].(object)["resourceNames"] = markList + "secrets"
		}
		part, err := template(o, "")
		if err != nil {
			return "", err
		}
		out += "---\n" + strings.ReplaceAll(part, ".Release.Namespace", "$.Release.Namespace")
	}
	return out + "{{- end }}\n", nil
}
