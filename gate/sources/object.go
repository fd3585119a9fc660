package sources

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
	kyaml "sigs.k8s.io/yaml"
)

// Object is a Kubernetes object that the gate itself looks into.
type Object struct {
	APIVersion, Kind, Namespace, Name string
	// file and line at which it begins.
	File string
	Line int
	Root *yaml.Node
	// Text is the object as its file has it, of which the lines are: nil where it was rendered and no file has it.
	Text *yaml.Node
	// Literal means that the object is marked as one in which Flux replaces no variables.
	Literal bool
}

func (o *Object) String() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// Group is the API group of the object.
func (o *Object) Group() string {
	group := path.Dir(o.APIVersion)
	if group == "." {
		return ""
	}
	return group
}

// LineOf is the line of the value at a path of keys, or of the object if that path is absent.
func (o *Object) LineOf(keys ...string) int {
	n := o.Text
	if n == nil {
		return o.Line
	}
	for _, key := range keys {
		next := ValueOf(n, key)
		if next == nil {
			return o.Line
		}
		n = next
	}
	return n.Line
}

// Decode reads the object into a type of an API.
func (o *Object) Decode(into any) error {
	data, err := yaml.Marshal(o.Root)
	if err == nil {
		// Not at once: the library would make text of a number where the type wants text, and the API server does not.
		if data, err = kyaml.YAMLToJSON(data); err == nil {
			err = json.Unmarshal(data, into)
		}
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			isIt := func(n *yaml.Node) bool {
				return n.Kind == yaml.ScalarNode && (n.Tag == "!!str") == (wrong.Value == "string")
			}
			field := &FieldError{Field: wrong.Field, is: wrong.Value, Want: wrong.Type}
			if n := fieldOf(o.Root, strings.Split(wrong.Field, "."), isIt); n != nil {
				field.Text = n.Value
			}
			err = field
		}
	}
	if err != nil {
		return fmt.Errorf("read %s in %s: %w", o, o.File, err)
	}
	return nil
}

// ValueOf gives the value at a key of a mapping, aliases followed; nil if absent.
func ValueOf(m *yaml.Node, key string) *yaml.Node {
	if m == nil || m.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			value := m.Content[i+1]
			for value.Kind == yaml.AliasNode && value.Alias != nil {
				value = value.Alias
			}
			return value
		}
	}
	return nil
}

// TextOf gives the text at a key of a mapping; empty if absent.
func TextOf(m *yaml.Node, key string) string {
	if n := ValueOf(m, key); n != nil && n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return ""
}

// FieldError is a field of an object that has another type than the API wants.
type FieldError struct {
	// field is its path; text its value where that is a scalar, is what kind of value it is.
	Field, Text, is string
	Want            reflect.Type
}

func (e *FieldError) Error() string {
	want := "another type"
	if e.Want != nil {
		switch e.Want.Kind() {
		case reflect.String:
			want = "text"
		case reflect.Bool:
			want = "true or false"
		case reflect.Int, reflect.Int32, reflect.Int64, reflect.Float64:
			want = "a number"
		case reflect.Slice:
			want = "a list"
		case reflect.Struct, reflect.Map:
			want = "a mapping"
		default:
		}
	}
	is := map[string]string{"array": "a list", "object": "a mapping", "bool": "true or false", "string": "text"}[e.is]
	if is == "" {
		is = "a " + e.is
	}
	if e.Text != "" {
		is = e.Text + ", " + is
	}
	return fmt.Sprintf("%s is %s, and has to be %s", cmp.Or(e.Field, "it"), is, want)
}

// LineOfField finds the line of a field that is named as in spec.images.newTag, in any item of a list; that of the
// object where it is not found.
func (o *Object) LineOfField(field string) int {
	if n := fieldOf(o.Text, strings.Split(field, "."), nil); n != nil {
		return n.Line
	}
	return o.Line
}

// fieldOf finds the first scalar at a path of keys that fits, through lists.
func fieldOf(n *yaml.Node, keys []string, fits func(*yaml.Node) bool) *yaml.Node {
	switch {
	case n == nil:
		return nil
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			if found := fieldOf(item, keys, fits); found != nil {
				return found
			}
		}
		return nil
	case len(keys) == 0:
		if fits == nil || fits(n) {
			return n
		}
		return nil
	}
	return fieldOf(ValueOf(n, keys[0]), keys[1:], fits)
}
