package manifest

import (
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

// claimPairs claims a repository under a key of its own and the tag beside it, whose key begins alike:
//
//	rancherImage: rancher/rancher, rancherImageTag: v1
//	containerImage: …, containerVersion: …
//	image_name: …, image_tag: …
func claimPairs(fields []entry, s spot, set func(int, claim)) {
	if s.item && isContainerList(s.key) {
		return
	}
	var index map[string]int
	for i, f := range fields {
		words := pairedWith(f.key)
		if words == nil || !namesRepository(fields, i) {
			continue
		}
		if index == nil {
			index = scalars(fields)
		}
		for _, w := range words {
			at, ok := index[w]
			if !ok || !isTag(textAt(fields, w)) {
				continue
			}
			group := s.pointer + "/" + escape(f.key)
			set(i, claim{part: PartRepository, group: group})
			set(at, claim{part: PartTag, group: group})
			break
		}
	}
}

// claimAbove claims a tag above the block whose repository has none:
//
//	image: {repository: acme/web}
//	version: v1
func claimAbove(fields []entry, s spot, set func(int, claim)) {
	if !inValues(s) {
		return
	}
	block := ""
	for _, f := range fields {
		n := resolve(f.value)
		if !isBlockKey(f.key) || n.Kind != yaml.MappingNode {
			continue
		}
		if block != "" || text(n, "repository") == "" || text(n, "tag")+text(n, "digest")+text(n, "version") != "" {
			return
		}
		block = f.key
	}
	for _, key := range []string{"imageTag", "tag", "version"} {
		if i := scalarAt(fields, key); block != "" && i >= 0 && isTag(textAt(fields, key)) {
			set(i, claim{part: PartTag, group: s.down(block).pointer + "/"})
			return
		}
	}
}

// pairedWith lists the keys that may have the tag of the repository under a key, the surest first; nil for a key that
// does not name one.
func pairedWith(key string) []string {
	image, snake := strings.CutSuffix(key, "_name")
	if !snake {
		image = strings.TrimSuffix(key, "Name")
	}
	stem, ok := strings.CutSuffix(image, "_image")
	if snake = snake || ok; !ok {
		if stem, ok = strings.CutSuffix(image, "Image"); !ok && image != "image" {
			return nil
		}
	}
	if image == "image" {
		stem = ""
	}
	tag, version := "Tag", "Version"
	if snake {
		tag, version = "_tag", "_version"
	}
	words := []string{image + tag, image + version}
	if stem != "" {
		words = append(words, stem+tag, stem+version)
	}
	return words
}

// namesRepository reports whether a field holds a repository without a tag, as far as that can be told.
func namesRepository(fields []entry, i int) bool {
	value := textAt(fields, fields[i].key)
	switch path.Ext(value) {
	case ".png", ".svg", ".jpg", ".gif", ".ico", ".webp":
		return false
	}
	return looksLikeImage("image", value) && !strings.Contains(value, "${") && !hasVersion(value)
}

func hasVersion(value string) bool {
	_, tag, digest := Split(value)
	return tag+digest != ""
}

// isTag reports whether a text can be a tag.
func isTag(value string) bool { return value != "" && !strings.ContainsAny(value, " \t\n/,<>") }
