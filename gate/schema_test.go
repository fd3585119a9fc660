package gate_test

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/backstop-dev/backstop/gate"
)

func TestTheSchemaOfTheConfigurationSaysWhatTheCodeTakes(t *testing.T) {
	file := t.TempDir() + "/schema.json"
	if err := os.WriteFile(file, []byte(gate.Schema), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := jsonschema.NewCompiler().Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	for text, valid := range map[string]bool{
		twoEnvironments: true,
		"platforms: [linux/amd64, linux/arm64/v8]\nremoteBases: [github.com/acme/]\nignore: [docs]\n":                              true,
		"environments: {a: {paths: [x], tags: y, immutable: true, digests: true, registries: [z], promotedFrom: b}, b: {tags: c}}": true,
		"platfroms: []": false, "environments: {a: {path: [x]}}": false, "environments: {a: {immutable: 3}}": false, "ignore: x": false,
	} {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		_, perr := gate.ParseConfig("x", []byte(text))
		if verr := s.Validate(v); (verr == nil) != valid || (perr == nil) != valid {
			t.Errorf("%s: the schema says %v, the code says %v", text, verr, perr)
		}
	}
}

// keysOf are the keys that the code takes for a type, sorted.
func keysOf(v any) []string {
	var keys []string
	for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
		if key := f.Tag.Get("yaml"); key != "" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func TestTheSchemaOfTheConfigurationHasEveryKey(t *testing.T) {
	type object struct {
		Properties map[string]any
		Additional *bool `json:"additionalProperties"`
	}
	var schema struct {
		object
		Definitions map[string]object
	}
	if err := json.Unmarshal([]byte(gate.Schema), &schema); err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string]struct {
		schema object
		code   any
	}{"the file": {schema.object, gate.Config{}}, "an environment": {schema.Definitions["environment"], gate.Environment{}}} {
		if diff := cmp.Diff(keysOf(pair.code), slices.Sorted(maps.Keys(pair.schema.Properties))); diff != "" {
			t.Errorf("%s (-code +schema):\n%s", name, diff)
		}
		if pair.schema.Additional == nil || *pair.schema.Additional {
			t.Errorf("%s: the schema takes unknown keys", name)
		}
	}
}
