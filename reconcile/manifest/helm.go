package manifest

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// claimBlocks claims the parts of images that Helm values (and the custom resources made after them) keep in keys of
// their own:
//
//	image: {repository: ghcr.io/acme/backend, tag: v1}            the usual
//	image: {registry: ghcr.io, repository: acme/backend, tag: v1, digest: ""}
//	image: {repo: ghcr.io/acme/backend, version: v1}              other words for it: path, url
//	image: {name: acme/backend, tag: v1}, image: {tag: v1}        the chart knows the rest
//	image: acme/backend, tag: v1                                  or imageTag, imageName and imageTag
//	backendRepository: …, backendTag: …                           any prefix
//	repository: ghcr.io/acme, image: backend, tag: v1             the repository is cut in two
//
// Each block is one group.
func claimBlocks(fields []entry, s spot, set func(int, claim)) {
	imageLike, claimed := !s.item && isBlockKey(s.key), false
	var index map[string]int
	for i, f := range fields {
		prefix, ok := repositoryPrefix(f.key)
		if imageLike && otherRepository(fields, f.key) {
			prefix, ok = "", true
		}
		if !ok || resolve(f.value).Kind != yaml.ScalarNode {
			continue
		}
		if index == nil {
			index = scalars(fields)
		}
		parts := blockParts(index, prefix)
		if imageLike && prefix == "" {
			versionAsTag(index, parts)
		}
		if len(parts) == 0 && !imageLike {
			continue
		}
		group := s.pointer + "/" + escape(prefix)
		if name := imageBeside(fields, index, prefix); name >= 0 {
			set(i, claim{part: PartRegistry, group: group})
			set(name, claim{part: PartRepository, group: group})
		}
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

// otherRepository reports whether a key of a block that describes an image is another word for its repository.
func otherRepository(fields []entry, key string) bool {
	switch key {
	case "repo":
		return true
	case "path", "url":
		// Beside a tag or a digest alone, and never the address of a picture.
		return textAt(fields, "tag")+textAt(fields, "digest") != "" && scalarAt(fields, "repository") < 0 &&
			!strings.Contains(textAt(fields, key), "://") && !strings.HasPrefix(textAt(fields, key), "/")
	}
	return false
}

// versionAsTag takes a version beside a repository for its tag where there is no tag.
func versionAsTag(index map[string]int, parts map[int]Part) {
	_, tagged := index["tag"]
	if i, ok := index["version"]; ok && !tagged {
		parts[i] = PartTag
	}
}

// claimNamedBlock claims the rarer forms without a repository key.
func claimNamedBlock(fields []entry, s spot, imageLike bool, set func(int, claim)) {
	group := s.pointer + "/"
	key := "image"
	if scalarAt(fields, key) < 0 && scalarAt(fields, "imageTag") >= 0 {
		key = "imageName"
	}
	image := scalarAt(fields, key)
	if image < 0 && !imageLike {
		return
	}
	index := scalars(fields)
	if image >= 0 && !(s.item && isContainerList(s.key)) {
		claimTagsBeside(fields, s, key, index, set)
		return
	}
	parts := blockParts(index, "")
	name := scalarAt(fields, "name")
	if imageLike && name >= 0 && namesRepository(fields, name) && isTag(textAt(fields, "version")) {
		versionAsTag(index, parts)
	}
	if !imageLike || len(parts) == 0 {
		return
	}
	if name >= 0 {
		set(name, claim{part: PartName, group: group})
	}
	for j, part := range parts {
		set(j, claim{part: part, group: group})
	}
}

// claimTagsBeside claims a repository under a key of an image, and what stands beside it of the rest.
func claimTagsBeside(fields []entry, s spot, key string, index map[string]int, set func(int, claim)) {
	parts := blockParts(index, "")
	maps.Copy(parts, blockParts(index, "image"))
	if hasVersion(textAt(fields, key)) {
		return
	}
	if key == "image" && inValues(s) && strings.Contains(textAt(fields, key), "/") && isTag(textAt(fields, "version")) &&
		!slices.Contains(slices.Collect(maps.Values(parts)), PartTag) {
		versionAsTag(index, parts)
	}
	if len(parts) == 0 {
		return
	}
	group := s.pointer + "/"
	set(scalarAt(fields, key), claim{part: PartRepository, group: group})
	for j, part := range parts {
		set(j, claim{part: part, group: group})
	}
}

// imageBeside finds the name of an image that stands beside the rest of its repository, and its tag; -1 for none.
func imageBeside(fields []entry, index map[string]int, prefix string) int {
	i, ok := index["image"]
	if _, tagged := index["tag"]; !ok || !tagged || prefix != "" {
		return -1
	}
	name, repository := textAt(fields, "image"), textAt(fields, "repository")
	if name == "" || repository == "" || strings.ContainsAny(name, "/:@ ") || strings.HasSuffix(repository, "/"+name) {
		return -1
	}
	return i
}

// repositoryPrefix reports whether a key names a repository, and what stands before the word: "" for repository,
// "backend" for backendRepository.
func repositoryPrefix(key string) (string, bool) {
	if key == "repository" {
		return "", true
	}
	return strings.CutSuffix(key, "Repository")
}

// scalars gives the index of every key that has a scalar.
func scalars(fields []entry) map[string]int {
	index := make(map[string]int, len(fields))
	for i, f := range fields {
		if resolve(f.value).Kind == yaml.ScalarNode {
			index[f.key] = i
		}
	}
	return index
}

// blockParts finds the keys beside a repository, by their index among the fields.
func blockParts(index map[string]int, prefix string) map[int]Part {
	parts := map[int]Part{}
	for key, part := range map[string]Part{"Tag": PartTag, "Digest": PartDigest, "Registry": PartRegistry} {
		key = prefix + key
		if prefix == "" {
			key = strings.ToLower(key)
		}
		if i, ok := index[key]; ok {
			parts[i] = part
		}
	}
	return parts
}

// isBlockKey reports whether a key usually holds a block that describes an image.
func isBlockKey(key string) bool {
	return key == "image" || strings.HasSuffix(key, "Image") || strings.HasSuffix(key, "-image") ||
		strings.HasSuffix(key, "_image")
}
