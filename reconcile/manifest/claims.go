package manifest

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// place is a node and where it stands in the parsed file.
type place struct {
	Node
	// used is what stands at the pointer: the scalar, or an alias of it.
	used *yaml.Node
	// scalar holds the value.
	scalar *yaml.Node
	// key is the key before it; nil in a list.
	key *yaml.Node
	// inner is set where the scalar is part of YAML that is the text of another scalar, outer.
	inner *parsed
	outer *yaml.Node
}

// spot is where a walk stands.
type spot struct {
	pointer string
	object  Object
	// key under which the value, or the list that it is an item of, stands; parent is the key above that one.
	key, parent string
	// item means that the value is an item of the list under key.
	item bool
	// mute means that the object's kind names images which nothing runs: only markers count.
	mute bool
	// made means that a policy makes other objects of what is below: a value may be a pattern.
	made bool
	// shared means that an alias or a merge key is on the way.
	shared bool
}

// down goes to a key of a mapping.
func (s spot) down(key string) spot {
	s.pointer += "/" + escape(key)
	s.parent, s.key, s.item = s.key, key, false
	if s.mute && (key == "mutate" || key == "generate") && strings.HasPrefix(s.object.APIVersion, "kyverno.io/") {
		s.mute, s.made = false, true
	}
	return s
}

// claim describes what a scalar is, by its place.
type claim struct {
	part      Part
	group     string
	container string
}

// entry is one key of a mapping, with what merge keys (<<) bring in.
type entry struct {
	key            string
	keyNode, value *yaml.Node
	merged         bool
}

// scalarAt is the index of a key with a scalar; -1 for none.
func scalarAt(fields []entry, key string) int {
	for i, f := range fields {
		if f.key == key && resolve(f.value).Kind == yaml.ScalarNode {
			return i
		}
	}
	return -1
}

func textAt(fields []entry, key string) string {
	if i := scalarAt(fields, key); i >= 0 {
		return scalarText(resolve(fields[i].value))
	}
	return ""
}

func isContainerList(key string) bool {
	return key == "containers" || key == "initContainers" || key == "ephemeralContainers"
}
