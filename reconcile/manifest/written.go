package manifest

import (
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Written is the tag that a chart gets for a node of a HelmRelease: YAML takes 1.10 for the number 1.1, and a chart
// writes 20240101 as 2.0240101e+07. Text is what it is.
func Written(n Node) string {
	// Text of a ConfigMap is read by Helm itself, which keeps whole numbers as they are.
	text := strings.Contains(n.Pointer, "!")
	flux := strings.HasPrefix(n.Object.APIVersion, "helm.toolkit.fluxcd.io/")
	if !n.Typed || n.Part != PartTag || text || !flux {
		return n.Value
	}
	var v any
	if err := yaml.Unmarshal([]byte(n.Value), &v); err != nil || v == nil {
		return n.Value
	}
	return fmt.Sprint(v)
}

// allWritten gives nodes as charts get them; nil where that changes none.
func allWritten(nodes []Node) []Node {
	var out []Node
	for i, n := range nodes {
		if value := Written(n); value != n.Value {
			if out == nil {
				out = slices.Clone(nodes)
			}
			out[i].Value = value
		}
	}
	return out
}
