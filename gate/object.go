package gate

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

// object is a Kubernetes object that the gate itself looks into.
type object struct {
	apiVersion, kind, namespace, name string
	// file and line at which it begins.
	file string
	line int
	root *yaml.Node
}

func (o *object) String() string {
	if o.namespace == "" {
		return o.kind + " " + o.name
	}
	return o.kind + " " + o.namespace + "/" + o.name
}

// group is the API group of the object.
func (o *object) group() string {
	group := path.Dir(o.apiVersion)
	if group == "." {
		return ""
	}
	return group
}

// lineOf is the line of the value at a path of keys, or of the object where there is none.
func (o *object) lineOf(keys ...string) int {
	n := o.root
	for _, key := range keys {
		next := valueOf(n, key)
		if next == nil {
			return o.line
		}
		n = next
	}
	return n.Line
}

// decode reads the object into a type of an API.
func (o *object) decode(into any) error {
	data, err := yaml.Marshal(o.root)
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
			field := &fieldError{field: wrong.Field, is: wrong.Value, want: wrong.Type}
			if n := fieldOf(o.root, strings.Split(wrong.Field, "."), isIt); n != nil {
				field.text = n.Value
			}
			err = field
		}
	}
	if err != nil {
		return fmt.Errorf("read %s in %s: %w", o, o.file, err)
	}
	return nil
}

// valueOf gives the value at a key of a mapping, aliases followed; nil where there is none.
func valueOf(m *yaml.Node, key string) *yaml.Node {
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

func textOf(m *yaml.Node, key string) string {
	if n := valueOf(m, key); n != nil && n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return ""
}

// fieldError is a field of an object that has another type than the API wants.
type fieldError struct {
	// field is its path; text its value where that is a scalar, is what kind of value it is.
	field, text, is string
	want            reflect.Type
}

func (e *fieldError) Error() string {
	want := "another type"
	if e.want != nil {
		switch e.want.Kind() {
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
	if e.text != "" {
		is = e.text + ", " + is
	}
	return fmt.Sprintf("%s is %s, and has to be %s", cmp.Or(e.field, "it"), is, want)
}

// lineOfField finds the line of a field that is named as in spec.images.newTag, in any item of a list; that of the
// object where it is not found.
func (o *object) lineOfField(field string) int {
	if n := fieldOf(o.root, strings.Split(field, "."), nil); n != nil {
		return n.Line
	}
	return o.line
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
	return fieldOf(valueOf(n, keys[0]), keys[1:], fits)
}
