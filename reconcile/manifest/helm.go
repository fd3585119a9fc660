package manifest

import (
	"strings"
)

// claimBlocks claims the parts of images that Helm values (and the custom resources made after them) keep in keys of
// their own:
//
//	image: {repository: ghcr.io/acme/backend, tag: v1}            the usual
//	image: {registry: ghcr.io, repository: acme/backend, tag: v1, digest: ""}
//	image: {name: acme/backend, tag: v1}, image: {tag: v1}        the chart knows the rest
//	image: acme/backend, tag: v1                                  or imageTag
//	backendRepository: …, backendTag: …                           any prefix
//
// Each block is one group.
func claimBlocks(fields []entry, s spot, set func(int, claim)) {
	imageLike, claimed := !s.item && isBlockKey(s.key), false
	for i, f := range fields {
		prefix, ok := repositoryPrefix(f.key)
		if !ok || scalarAt(fields, f.key) < 0 {
			continue
		}
		parts := blockParts(fields, prefix)
		if len(parts) == 0 && !imageLike {
			continue
		}
		group := s.pointer + "/" + escape(prefix)
		set(i, claim{part: PartRepository, group: group})
		for j, part := range parts {
			set(j, claim{part: part, group: group})
		}
		claimed = true
	}
	if !claimed {
		claimNamedBlock(fields, s, imageLike, set)
	}
}

// claimNamedBlock claims the rarer forms without a repository key.
func claimNamedBlock(fields []entry, s spot, imageLike bool, set func(int, claim)) {
	group := s.pointer + "/"
	image := scalarAt(fields, "image")
	if image >= 0 && !(s.item && isContainerList(s.key)) {
		parts := blockParts(fields, "")
		for j, part := range blockParts(fields, "image") {
			if parts == nil {
				parts = map[int]Part{}
			}
			parts[j] = part
		}
		_, tag, digest := Split(textAt(fields, "image"))
		if len(parts) == 0 || tag != "" || digest != "" {
			return
		}
		set(image, claim{part: PartRepository, group: group})
		for j, part := range parts {
			set(j, claim{part: part, group: group})
		}
		return
	}
	if !imageLike {
		return
	}
	parts := blockParts(fields, "")
	if len(parts) == 0 {
		return
	}
	if name := scalarAt(fields, "name"); name >= 0 {
		set(name, claim{part: PartName, group: group})
	}
	for j, part := range parts {
		set(j, claim{part: part, group: group})
	}
}

// repositoryPrefix says whether a key names a repository, and what stands before the word: "" for repository, "backend"
// for backendRepository.
func repositoryPrefix(key string) (string, bool) {
	if key == "repository" {
		return "", true
	}
	return strings.CutSuffix(key, "Repository")
}

// blockParts finds the keys beside a repository by index.
func blockParts(fields []entry, prefix string) map[int]Part {
	var parts map[int]Part
	for _, word := range []struct {
		key  string
		part Part
	}{{"tag", PartTag}, {"digest", PartDigest}, {"registry", PartRegistry}} {
		key := word.key
		if prefix != "" {
			key = prefix + strings.ToUpper(key[:1]) + key[1:]
		}
		if i := scalarAt(fields, key); i >= 0 {
			if parts == nil {
				parts = map[int]Part{}
			}
			parts[i] = word.part
		}
	}
	return parts
}

// isBlockKey says whether a key usually holds a block that describes an image.
func isBlockKey(key string) bool {
	return key == "image" || strings.HasSuffix(key, "Image") || strings.HasSuffix(key, "-image") || strings.HasSuffix(key, "_image")
}
