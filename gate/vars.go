package gate

import (
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/envsubst"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// variables are what a Flux Kustomization replaces after the build.
type variables struct {
	values map[string]string
	// on says that anything is replaced at all; open that some values are only in the cluster.
	on, open bool
}

// variables collects the values of spec.postBuild as far as the tree has them.
func (b *builder) variables(k *kustomizev1.Kustomization) variables {
	post := k.Spec.PostBuild
	if post == nil {
		return variables{}
	}
	v := variables{values: map[string]string{}, on: true}
	for _, from := range post.SubstituteFrom {
		found := false
		for i := range b.configs {
			if o := &b.configs[i]; from.Kind == "ConfigMap" && o.name == from.Name {
				found = true
				data := valueOf(o.root, "data")
				for j := 0; data != nil && j+1 < len(data.Content); j += 2 {
					v.values[data.Content[j].Value] = data.Content[j+1].Value
				}
			}
		}
		v.open = v.open || !found
	}
	for key, value := range post.Substitute {
		v.values[key] = value
	}
	return v
}

// apply replaces the variables in a value as Flux does. One that only the cluster knows stays as it is.
func (v variables) apply(value string) string {
	if !v.on || !strings.Contains(value, "$") {
		return value
	}
	out, err := envsubst.Eval(value, func(name string) (string, bool) {
		known, ok := v.values[name]
		if !ok && v.open && !strings.Contains(value, "${"+name+":") {
			return "${" + name + "}", true
		}
		return known, ok
	})
	if err != nil {
		return value
	}
	return out
}

// replace applies the variables to the nodes of a file.
func (v variables) replace(nodes []manifest.Node) []manifest.Node {
	if !v.on {
		return nodes
	}
	out := make([]manifest.Node, len(nodes))
	for i, n := range nodes {
		n.Value = v.apply(n.Value)
		out[i] = n
	}
	return out
}
