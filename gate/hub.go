package gate

import (
	"cmp"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/backstop-dev/backstop/gate/sources"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// hubImage is an image that a chart makes of a hub and a tag: the block of its values, and its name where they say
// none.
type hubImage struct{ block, name string }

// hubImages are those of Istio's charts, by the name of the chart.
var hubImages = map[string][]hubImage{
	"istiod":  {{"pilot", "pilot"}, {"global.proxy", "proxyv2"}},
	"cni":     {{"cni", "install-cni"}},
	"ztunnel": {{"", "ztunnel"}},
}

// hubbed lists the images that a chart makes of the hub and the tag which the values of a release set for all of them,
// where a component has none of its own:
//
//	global: {hub: docker.io/istio, tag: 1.24.0}
//	pilot: {image: pilot}
func hubbed(o *sources.Object, like manifest.Node) [][]manifest.Node {
	spec := sources.ValueOf(o.Root, "spec")
	values := sources.ValueOf(spec, "values")
	global := sources.ValueOf(values, "global")
	if global == nil || sources.ValueOf(global, "hub") == nil {
		return nil
	}
	chart := sources.TextOf(sources.ValueOf(sources.ValueOf(spec, "chart"), "spec"), "chart")
	components := append([]hubImage(nil), hubImages[path.Base(chart)]...)
	for i, c := range components {
		components[i].name = cmp.Or(sources.TextOf(blockOf(values, c.block), "image"), c.name)
	}
	named := map[string]bool{}
	for _, c := range components {
		named[c.block] = true
	}
	for _, c := range imagesIn(values, "", nil) {
		if !named[c.block] {
			components = append(components, c)
		}
	}
	var out [][]manifest.Node
	for _, c := range components {
		if group := c.under(values, global, like); group != nil {
			out = append(out, group)
		}
	}
	return out
}

// under is the image as nodes; nil where it has no hub or no tag, or names all of it itself.
func (c hubImage) under(values, global *yaml.Node, like manifest.Node) []manifest.Node {
	own := blockOf(values, c.block)
	hub, tag := either(own, global, "hub"), either(own, global, "tag")
	if hub == nil || tag == nil || strings.ContainsAny(c.name, "/:@") {
		return nil
	}
	version := tag.Value
	if variant := cmp.Or(sources.TextOf(own, "variant"), sources.TextOf(global, "variant")); variant != "" {
		version += "-" + variant
	}
	node := func(part manifest.Part, value string, at *yaml.Node) manifest.Node {
		document, _, _ := strings.Cut(like.Pointer, "#")
		return manifest.Node{
			File: like.File, Line: at.Line, Object: like.Object, Part: part, Value: value,
			Pointer: document + "#/spec/values/global/hub", Group: like.File + ":hub " + c.block,
		}
	}
	return []manifest.Node{
		node(manifest.PartRegistry, hub.Value, hub), node(manifest.PartRepository, c.name, hub),
		node(manifest.PartTag, version, tag),
	}
}

// either gives the text at a key of one mapping or else of the other; nil for none.
func either(a, b *yaml.Node, key string) *yaml.Node {
	for _, m := range []*yaml.Node{a, b} {
		if n := sources.ValueOf(m, key); n != nil && n.Kind == yaml.ScalarNode && n.Value != "" {
			return n
		}
	}
	return nil
}

// blockOf is the mapping of values at keys with dots between them.
func blockOf(values *yaml.Node, block string) *yaml.Node {
	for _, key := range strings.FieldsFunc(block, func(r rune) bool { return r == '.' }) {
		values = sources.ValueOf(values, key)
	}
	return values
}

// imagesIn lists the blocks of values whose image is a name alone.
func imagesIn(n *yaml.Node, block string, out []hubImage) []hubImage {
	if n == nil || n.Kind != yaml.MappingNode {
		return out
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i].Value, n.Content[i+1]
		switch {
		case value.Kind == yaml.MappingNode && !strings.Contains(key, "."):
			out = imagesIn(value, strings.TrimPrefix(block+"."+key, "."), out)
		case key == "image" && value.Kind == yaml.ScalarNode && value.Value != "":
			out = append(out, hubImage{block, value.Value})
		}
	}
	return out
}
