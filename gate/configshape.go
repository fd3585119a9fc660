package gate

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// shape is what the schema allows at a key.
type shape struct {
	// keys of a mapping; each stands for every key of it.
	keys map[string]shape
	each *shape
	// kind of a scalar: "text" or "true or false"; list where it is a list of texts.
	kind string
	list bool
	// item describes what is wrong with a text of the list; empty for nothing.
	item func(string) string
}

// configShape is backstop.schema.json as far as YAML's own types and a line to point at go.
func configShape() shape {
	environment := shape{keys: map[string]shape{
		"paths": {list: true}, "tags": {kind: "text"}, "immutable": {kind: "true or false"},
		"digests": {kind: "true or false"}, "registries": {list: true, item: registryWords}, "promotedFrom": {kind: "text"},
	}}
	return shape{keys: map[string]shape{
		"platforms": {list: true, item: platformWords}, "remoteBases": {list: true}, "ignore": {list: true},
		"environments": {each: &environment},
	}}
}

// platform is what an image may be made for.
var platform = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$`)

func platformWords(s string) string {
	if platform.MatchString(s) {
		return ""
	}
	return "is no platform: write os/arch, such as linux/amd64"
}

func registryWords(s string) string {
	if strings.Contains(s, "://") {
		return "is no registry: leave the scheme out, as in ghcr.io/acme"
	}
	return ""
}

// misfit tells what of a value the shape does not allow, and where; empty where all of it fits. Null is as good as not
// there.
func (s shape) misfit(n *yaml.Node, at string) (line int, words string) {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return 0, ""
	case s.list:
		return s.misfitList(n, at)
	case s.kind != "":
		return s.misfitScalar(n, at)
	case n.Kind != yaml.MappingNode:
		return n.Line, at + "want a mapping of keys to values"
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		below, known := s.keys[key.Value]
		switch {
		case key.Value == "<<":
			continue
		case s.each != nil:
			below = *s.each
		case !known:
			return key.Line, fmt.Sprintf("%sunknown key %q: want one of %s", at, key.Value,
				strings.Join(sortedKeys(s.keys), ", "))
		}
		path := strings.TrimSuffix(at, ": ")
		if path != "" {
			path += "."
		}
		if line, words := below.misfit(value, path+key.Value+": "); words != "" {
			return line, words
		}
	}
	return 0, ""
}

func (s shape) misfitScalar(n *yaml.Node, at string) (int, string) {
	fits := n.Kind == yaml.ScalarNode && (s.kind == "text" || n.Tag == "!!bool")
	if fits {
		return 0, ""
	}
	return n.Line, fmt.Sprintf("%s%s: want %s", at, shown(n), s.kind)
}

func (s shape) misfitList(n *yaml.Node, at string) (int, string) {
	switch {
	case n.Kind == yaml.ScalarNode:
		return n.Line, fmt.Sprintf("%s%q is no list: write [%[2]s]", at, n.Value)
	case n.Kind != yaml.SequenceNode:
		return n.Line, at + shown(n) + ": want a list"
	case len(n.Content) == 0:
		return n.Line, at + "the list is empty: leave it out, or name one"
	}
	for _, item := range n.Content {
		for item.Kind == yaml.AliasNode && item.Alias != nil {
			item = item.Alias
		}
		if item.Kind != yaml.ScalarNode {
			return item.Line, at + shown(item) + ": want text"
		}
		words := ""
		if strings.TrimSpace(item.Value) == "" {
			words = "is empty: leave it out"
		} else if s.item != nil {
			words = s.item(item.Value)
		}
		if words != "" {
			return item.Line, fmt.Sprintf("%s%q %s", at, item.Value, words)
		}
	}
	return 0, ""
}

// shown is a value for a sentence.
func shown(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return fmt.Sprintf("%q", n.Value)
}
