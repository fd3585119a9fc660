package manifest

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/backstop-dev/backstop/internal/image"
)

// Split cuts a reference into its repository (with registry), tag and digest, as written.
func Split(ref string) (repository, tag, digest string) { return image.Split(ref) }

// join is the opposite of Split.
func join(repository, tag, digest string) string { return image.Join(repository, tag, digest) }

// parts is what a group of nodes says of an image.
type parts struct {
	image, registry, repository, tag, digest string
	// kustomize means that the group is an images entry, whose tag or digest replaces both.
	kustomize bool
	// pattern is the name of an images entry that stands for several repositories.
	pattern string
}

// isPattern reports whether kustomize reads the name of an images entry as a pattern: it puts it into a regular
// expression.
func isPattern(name string) bool { return strings.ContainsAny(name, `*+?|[](){}^$\`) }

// bareDigest is a digest as values have it where the chart writes the name of its algorithm.
var bareDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

func partsOf(group []Node) parts {
	var p parts
	for _, n := range group {
		var to *string
		switch n.Part {
		case PartImage:
			to = &p.image
		case PartName, PartRepository:
			to = &p.repository
		case PartTag:
			to = &p.tag
		case PartDigest:
			to = &p.digest
		case PartRegistry:
			to = &p.registry
		case PartVariable, PartText: // They hold an image, and are no part of one.
		}
		if to != nil && *to == "" {
			*to = n.Value
		}
	}
	for _, n := range group {
		if n.Part != PartImage && n.Container != "" {
			p.kustomize = true
			switch {
			case p.repository != "":
			case isPattern(n.Container):
				p.pattern = n.Container
			default:
				p.repository = n.Container
			}
		}
	}
	if !p.kustomize && bareDigest.MatchString(p.digest) {
		p.digest = "sha256:" + p.digest
	}
	if p.registry != "" && p.repository != "" && !strings.HasPrefix(p.repository, p.registry+"/") {
		p.repository = strings.TrimSuffix(p.registry, "/") + "/" + p.repository
	}
	return p
}

// Reference is the image that a group makes. What the group does not say, such as the repository of a lone tag, comes
// from base. It says false where even then something is missing.
func Reference(group []Node, base string) (string, bool) {
	p := partsOf(group)
	if p.image != "" {
		return p.image, true
	}
	repository, tag, digest := Split(base)
	if p.repository != "" {
		repository = p.repository
	} else if p.registry != "" && p.image == "" {
		repository = underRegistry(p.registry, repository)
		if p.tag == "" && p.digest == "" {
			return join(repository, tag, digest), repository != "" && (tag != "" || digest != "")
		}
	}
	switch {
	case p.tag != "":
		tag, digest = p.tag, p.digest
	case p.digest != "" && p.kustomize:
		tag, digest = "", p.digest
	case p.digest != "":
		// A lone digest replaces one that follows a tag.
		if digest == "" {
			tag = ""
		}
		digest = p.digest
	}
	return join(repository, tag, digest), repository != "" && (tag != "" || digest != "")
}

// underRegistry is a repository under another registry, or under another registry and folder.
func underRegistry(registry, repository string) string {
	if repository == "" {
		return ""
	}
	registry = strings.TrimSuffix(registry, "/")
	first, rest, more := strings.Cut(repository, "/")
	switch {
	case strings.Contains(registry, "/"):
		return registry + "/" + repository[strings.LastIndexByte(repository, '/')+1:]
	case more && (strings.ContainsAny(first, ".:") || first == "localhost"):
		return registry + "/" + rest
	}
	return registry + "/" + repository
}

// normal writes a reference with its registry, as every runtime understands it, so that nginx:1 and
// docker.io/library/nginx:1 are one.
func normal(image string) string {
	repository, tag, digest := Split(image)
	return join(normalRepository(repository), tag, digest)
}

func normalRepository(repository string) string {
	first, rest, more := strings.Cut(repository, "/")
	switch {
	case !more:
		return "docker.io/library/" + repository
	case first != normalRegistry(first):
		return normalRepository(normalRegistry(first) + "/" + rest)
	case first == "docker.io" && !strings.Contains(rest, "/"):
		return "docker.io/library/" + rest
	case !strings.ContainsAny(first, ".:") && first != "localhost":
		return "docker.io/" + repository
	}
	return repository
}

// MayHold says quickly whether a file can hold nodes that Match finds for the image. It never says false for one that
// does: such a file holds the tag, the digest or the last word of the repository in plain sight, unless an escape in
// double quotes hides it.
func MayHold(data []byte, image string) bool {
	repository, tag, digest := Split(image)
	word := repository[strings.LastIndexByte(repository, '/')+1:]
	if word == "" {
		return true
	}
	for _, sight := range []string{tag, digest, word} {
		if sight != "" && bytes.Contains(data, []byte(sight)) {
			return true
		}
	}
	for _, hiding := range []string{`\x`, `\u`, `\U`, "\\\n", "\\\r"} {
		if bytes.Contains(data, []byte(hiding)) {
			return true
		}
	}
	return false
}

// normalRegistry is a registry as references write it.
func normalRegistry(registry string) string { return image.Registry(strings.TrimSuffix(registry, "/")) }
