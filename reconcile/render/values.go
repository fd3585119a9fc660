package render

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	goyaml "go.yaml.in/yaml/v2"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// valuesOf are the values of a HelmRelease, with those of the ConfigMaps that were rendered, or why they are not known.
// What was not rendered may be in the cluster.
func valuesOf(hr *helmv2.HelmRelease, all []*unstructured.Unstructured) (values map[string]any, why string) {
	out := map[string]any{}
	for _, ref := range hr.Spec.ValuesFrom {
		if ref.Kind != "ConfigMap" || ref.TargetPath != "" {
			return nil, "a Secret and a targetPath are not read"
		}
		name := v1alpha1.ObjectRef{Kind: ref.Kind, Namespace: hr.Namespace, Name: ref.Name}
		i := slices.IndexFunc(all, func(o *unstructured.Unstructured) bool { return names(name, refOf(o)) })
		if i < 0 {
			return nil, name.String() + " is not in Git"
		}
		data, _, err := unstructured.NestedStringMap(all[i].Object, "data")
		text, there := data[ref.GetValuesKey()]
		if !there && ref.Optional {
			continue
		}
		var more map[string]any
		if err != nil || !there || yaml.Unmarshal([]byte(text), &more) != nil {
			return nil, fmt.Sprintf("%s has no values at %q", name, ref.GetValuesKey())
		}
		out = merged(out, more)
	}
	return merged(out, hr.GetValues()), ""
}

// merged puts values over others, map by map.
func merged(under, over map[string]any) map[string]any {
	out := maps.Clone(under)
	for key, value := range over {
		is, isMap := value.(map[string]any)
		if was, ok := out[key].(map[string]any); ok && isMap {
			value = merged(was, is)
		}
		out[key] = value
	}
	return out
}

// digestOf is the digest that helm-controller keeps of values: that of their YAML, with the keys in their order.
func digestOf(values map[string]any) (string, error) {
	sum := sha256.New()
	if len(values) > 0 {
		sorted := yaml.JSONObjectToYAMLObject(values)
		inOrder(sorted)
		if err := goyaml.NewEncoder(sum).Encode(sorted); err != nil {
			return "", fmt.Errorf("write the values: %w", err)
		}
	}
	return fmt.Sprintf("sha256:%x", sum.Sum(nil)), nil
}

// inOrder sorts the keys of all maps of a value.
func inOrder(value any) {
	switch v := value.(type) {
	case goyaml.MapSlice:
		slices.SortFunc(v, func(a, b goyaml.MapItem) int { return strings.Compare(fmt.Sprint(a.Key), fmt.Sprint(b.Key)) })
		for _, item := range v {
			inOrder(item.Value)
		}
	case []any:
		for _, item := range v {
			inOrder(item)
		}
	}
}
