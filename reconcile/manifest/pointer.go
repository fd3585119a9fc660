package manifest

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A pointer is
//
//	document # /key … [item] … [ ! document # … ]
//
// A document is Kind/namespace/name of its object, or nothing. An item of a list is its name, the object that it is,
// the JSON path or target that it patches, or else its index. A second and further one of the same carry an ordinal
// (;2). After "!" the path goes on inside YAML that is the text of a scalar, such as an inline patch.

// escapes keeps the characters that a pointer is made of out of keys and names.
var escapes = strings.NewReplacer("~", "~0", "/", "~1", "#", "~2", "[", "~3", "]", "~4", "=", "~5", ";", "~6", "!",
	"~7", "\n", "~n", "\r", "~r", "\t", "~t")

func escape(s string) string {
	if !strings.ContainsAny(s, "~/#[]=;!\n\r\t") {
		return s
	}
	return escapes.Replace(s)
}

var unescapes = strings.NewReplacer("~0", "~", "~1", "/", "~2", "#", "~3", "[", "~4", "]", "~5", "=", "~6", ";", "~7",
	"!", "~n", "\n", "~r", "\r", "~t", "\t")

func unescape(s string) string { return unescapes.Replace(s) }

// objectOf reads what object a mapping is; zero for anything else.
func objectOf(m *yaml.Node) Object {
	o := Object{APIVersion: text(m, "apiVersion"), Kind: text(m, "kind")}
	if o.Kind == "" {
		return Object{}
	}
	meta := field(m, "metadata")
	o.Namespace, o.Name = text(meta, "namespace"), text(meta, "name")
	if o.Name == "" {
		o.Name = text(meta, "generateName")
	}
	return o
}

// objectID names an object in a pointer. An object without a name has no ID: a kustomization is the same document with
// and without its kind.
func objectID(o Object) string {
	switch {
	case o.Kind == "" || o.Name == "":
		return ""
	case o.Namespace == "":
		return escape(o.Kind) + "/" + escape(o.Name)
	}
	return escape(o.Kind) + "/" + escape(o.Namespace) + "/" + escape(o.Name)
}

// itemKeys gives the addresses of a list's items.
func itemKeys(list *yaml.Node) []string {
	keys := make([]string, len(list.Content))
	seen := make(map[string]int, len(list.Content))
	for i, item := range list.Content {
		key := itemKey(resolve(item))
		if key == "" {
			keys[i] = fmt.Sprintf("[%d]", i)
			continue
		}
		seen[key]++
		if n := seen[key]; n > 1 {
			key = fmt.Sprintf("%s;%d", key, n)
		}
		keys[i] = "[" + key + "]"
	}
	return keys
}

// itemKey is what tells an item from its siblings wherever it stands; empty where nothing does.
func itemKey(item *yaml.Node) string {
	if item.Kind != yaml.MappingNode {
		return ""
	}
	if name := text(item, "name"); name != "" {
		return "name=" + escape(name)
	}
	if id := objectID(objectOf(item)); id != "" {
		return id
	}
	if target := field(item, "target"); target != nil {
		if kind, name := text(target, "kind"), text(target, "name"); kind != "" || name != "" {
			return "target=" + escape(kind) + "/" + escape(name)
		}
	}
	if path := text(item, "path"); path != "" {
		return "path=" + escape(path)
	}
	return ""
}
