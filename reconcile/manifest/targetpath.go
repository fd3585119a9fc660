package manifest

import (
	"cmp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// targetPath reads an item of valuesFrom whose value is put to a place of its own:
//
//	valuesFrom: [{kind: ConfigMap, name: versions, valuesKey: app, targetPath: image.tag}]
func (c *Copies) targetPath(release Object, n *yaml.Node) {
	way := pathSteps(text(n, "targetPath"))
	if len(way) < 2 || strings.Contains(strings.Join(way, ""), "[") {
		return
	}
	one := &copying{from: copyEnd{kind: text(n, "kind"), name: text(n, "name")}, key: way[len(way)-1]}
	one.from.paths = []string{"data." + strings.ReplaceAll(cmp.Or(text(n, "valuesKey"), "values.yaml"), ".", `\.`)}
	for _, step := range way[:len(way)-1] {
		one.block += "/" + escape(step)
	}
	one.to = []copyEnd{{kind: release.Kind, name: release.Name, namespace: release.Namespace}}
	c.list = append(c.list, one)
}

// targetParts are the parts of an image that the last step of a targetPath names.
var targetParts = map[string]Part{
	"tag": PartTag, "digest": PartDigest, "repository": PartRepository, "registry": PartRegistry,
}

// TargetPart says which part of an image a targetPath of valuesFrom puts beside the nodes of a group of values; false
// for none, and for one that they say themselves.
func TargetPart(targetPath string, group []Node) (Part, bool) {
	way := pathSteps(targetPath)
	if len(way) < 2 || strings.Contains(strings.Join(way, ""), "[") {
		return "", false
	}
	block := ""
	for _, step := range way[:len(way)-1] {
		block += "/" + escape(step)
	}
	return partBeside(group, block, way[len(way)-1])
}

// partBeside is the part of an image that a key is in a block of values that holds a group, where that lacks it.
func partBeside(group []Node, block, key string) (Part, bool) {
	part := targetParts[key]
	_, way, _ := strings.Cut(group[0].Pointer, "#")
	if part == "" || way[:strings.LastIndexByte(way, '/')+1] != "/spec/values"+block+"/" {
		return "", false
	}
	for _, other := range group {
		if other.Part == part {
			return "", false
		}
	}
	return part, true
}

// beside gives what Helm puts beside the nodes of a group, as a node without a place of its own; false for nothing.
func (one *copying) beside(group []Node) (Node, bool) {
	n := group[0]
	if one.block == "" || one.source == nil || !one.to[0].is(n.Object) {
		return Node{}, false
	}
	part, ok := partBeside(group, one.block, one.key)
	if !ok {
		return Node{}, false
	}
	return Node{File: n.File, Group: n.Group, Object: n.Object, Part: part, Value: one.source.Value}, true
}
