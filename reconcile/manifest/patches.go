package manifest

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// patched is where a JSON patch (RFC 6902) puts its value.
type patched struct{ segments []string }

// patchedAt reports where the operation that a mapping describes puts its value; nil if it puts none.
func patchedAt(fields []entry) *patched {
	op, path := textAt(fields, "op"), textAt(fields, "path")
	if (op != "add" && op != "replace") || !strings.HasPrefix(path, "/") {
		return nil
	}
	segments := strings.Split(path[1:], "/")
	for i, segment := range segments {
		segments[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(segment)
	}
	return &patched{segments}
}

// apply gives the value the meaning of the place that it is put to. The pointer stays that of the patch.
func (p *patched) apply(s spot) (spot, claim) {
	at := func(back int) string {
		if i := len(p.segments) - back; i >= 0 {
			return p.segments[i]
		}
		return ""
	}
	s.key, s.parent, s.item = at(1), at(2), false
	if _, err := strconv.Atoi(s.key); err == nil || s.key == "-" {
		s.key, s.parent, s.item = at(2), at(3), true
		return s, claim{}
	}
	switch {
	case s.key == "image" && isContainerList(at(3)):
		return s, claim{part: PartImage}
	case s.key == "tag" && isBlockKey(s.parent):
		return s, claim{part: PartTag}
	case s.key == "digest" && isBlockKey(s.parent):
		return s, claim{part: PartDigest}
	case s.key == "repository" && isBlockKey(s.parent):
		return s, claim{part: PartRepository}
	case s.key == "reference" && s.parent == "image":
		return s, claim{part: PartImage}
	}
	return s, claim{}
}

// targetOf is the object that a kustomize patch names as its target.
func targetOf(patch *yaml.Node, otherwise Object) Object {
	target := field(patch, "target")
	if target == nil {
		return otherwise
	}
	version := text(target, "version")
	if group := text(target, "group"); group != "" {
		version = group + "/" + version
	}
	return Object{APIVersion: version, Kind: text(target, "kind"), Namespace: text(target, "namespace"),
		Name: text(target, "name")}
}

// holdsYAML reports whether the text at a place is YAML by its meaning.
func holdsYAML(s spot) bool {
	switch {
	case s.item:
		return s.key == "patchesStrategicMerge"
	case s.key == "resourcesTemplate":
		return s.object.Kind == "ResourceSet"
	case s.key == "patch":
		return s.parent == "patches" || s.parent == "patchesJson6902"
	case s.parent == "data" || s.parent == "stringData":
		return strings.HasSuffix(s.key, ".yaml") || strings.HasSuffix(s.key, ".yml")
	case s.object.Kind == helmRelease && strings.Contains(s.pointer, "#/spec/values/"):
		// Charts take containers as text, which they read as a template first.
		return true
	}
	return false
}
