package manifest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/kustomize/kyaml/fieldmeta"
	"sigs.k8s.io/kustomize/kyaml/kio"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

func TestMain(m *testing.M) {
	fieldmeta.SetShortHandRef(markerKey)
	openapi.SuppressBuiltInSchemaUse()
	m.Run()
}

// setters are what image automation may write, by the name in the marker.
func setters(policies ...string) *spec.Schema {
	schema := &spec.Schema{}
	schema.Definitions = map[string]spec.Schema{}
	for _, policy := range policies {
		for _, suffix := range []string{"", "tag", "name", "digest"} {
			name := policy
			if suffix != "" {
				name += ":" + suffix
			}
			s := spec.StringProperty()
			s.Extensions = map[string]any{}
			s.Extensions.Add("x-k8s-cli", map[string]any{"setter": map[string]string{"name": name, "value": written(suffix)}})
			schema.Definitions[fieldmeta.SetterDefinitionPrefix+name] = *s
		}
	}
	return schema
}

// automate does to one file what image-automation-controller v1.2.1 does (internal/update): kyaml reads it, every
// scalar whose comment names a setter gets its value, and if any changed the whole file is written anew. It gives the
// lines of the scalars that it set, as yaml counts them within each document.
func automate(data []byte, policies ...string) (after []byte, set int, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("kyaml: %v", r)
		}
	}()
	if !bytes.Contains(data, []byte(`"`+markerKey+`"`)) {
		return data, 0, nil
	}
	reader := &kio.ByteReader{Reader: bytes.NewReader(data), PreserveSeqIndent: true}
	nodes, err := reader.Read()
	if err != nil {
		return data, 0, err
	}
	schema, changed := setters(policies...), false
	var accept func(n *yaml.RNode) error
	accept = func(n *yaml.RNode) error {
		switch n.YNode().Kind {
		case yaml.MappingNode:
			return n.VisitFields(func(f *yaml.MapNode) error { return accept(f.Value) })
		case yaml.SequenceNode:
			return n.VisitElements(accept)
		case yaml.ScalarNode:
			fm := fieldmeta.FieldMeta{SettersSchema: schema}
			if err := fm.Read(n); err != nil || fm.IsEmpty() || fm.Schema.Ref.String() == "" {
				return nil //nolint:nilerr // image automation passes over what it cannot read
			}
			if !strings.Contains(n.YNode().LineComment+n.YNode().HeadComment, markerKey) {
				return nil // the longer form {"$ref": …}, which nobody writes
			}
			s, err := openapi.Resolve(&fm.Schema.Ref, schema)
			if err != nil || s == nil {
				return nil //nolint:nilerr // nor does it mind a policy that it does not know
			}
			value := s.Extensions["x-k8s-cli"].(map[string]any)["setter"].(map[string]string)["value"]
			set++
			changed = changed || n.YNode().Value != value
			n.YNode().Value = value
			yaml.FormatNonStringStyle(n.YNode(), *s)
		}
		return nil
	}
	for _, n := range nodes {
		if err := accept(n); err != nil {
			return data, 0, err
		}
	}
	if !changed {
		return data, set, nil
	}
	var out bytes.Buffer
	if err := (kio.ByteWriter{Writer: &out}).Write(nodes); err != nil {
		return data, 0, err
	}
	return out.Bytes(), set, nil
}

// markerSeeds are comments and places over which readers of markers could disagree.
var markerSeeds = []string{
	"a: v # {\"$imagepolicy\": \"develop:backend\"}\n",
	"a: v #{\"$imagepolicy\": \"develop:backend:tag\"}\n",
	"a: v ## \t{\"$imagepolicy\":\"develop:backend:name\"}\t \n",
	"a: v # {\"$imagepolicy\": \"develop:backend:digest\"}\n",
	"a: v # {\"$imagepolicy\": \"develop:backend:other\"}\n",
	"a: v # {\"$imagepolicy\": \"develop\"}\n",
	"a: v # {\"$imagepolicy\": \"develop:backend\", \"paused\": \"x\"}\n",
	"a: v # {\"$imagepolicy\": \"develop:backend\", \"paused\": true}\n",
	"a: v # {\"$imagepolicy-paused\": \"develop:backend\"} \"$imagepolicy\"\n",
	"a: v # {\"$imagepolicy\": \"develop:nosuch\"}\n",
	"a: v # x {\"$imagepolicy\": \"develop:backend\"}\n",
	"a: v # {\"$imagepolicy\": \"develop:backend\"} x\n",
	"a: v # backstop:hold {\"$imagepolicy\": \"develop:backend\"}\n",
	"a: {b: v} # {\"$imagepolicy\": \"develop:backend\"}\n",
	"a: {\n  b: v, # {\"$imagepolicy\": \"develop:backend\"}\n  c: w # {\"$imagepolicy\": \"develop:backend\"}\n}\n",
	"a: [\n  v, # {\"$imagepolicy\": \"develop:backend\"}\n  w # {\"$imagepolicy\": \"develop:backend\"}\n]\n",
	"# {\"$imagepolicy\": \"develop:backend\"}\na: v\n",
	"a:\n  # {\"$imagepolicy\": \"develop:backend\"}\n  - v\n  - w # {\"$imagepolicy\": \"develop:backend\"}\n",
	"a:\n  # {\"$imagepolicy\": \"develop:backend\"}\n  - v # other\n",
	"a: # {\"$imagepolicy\": \"develop:backend\"}\n  v\nb: # {\"$imagepolicy\": \"develop:backend\"}\n",
	"a: 'v\n  w' # {\"$imagepolicy\": \"develop:backend\"}\n",
	"a: | # {\"$imagepolicy\": \"develop:backend\"}\n  v\n",
	"a: &x v # {\"$imagepolicy\": \"develop:backend\"}\nb: *x # {\"$imagepolicy\": \"develop:backend\"}\n",
	"a: !!str v # {\"$imagepolicy\": \"develop:backend\"}\n",
	"a: \"\" # {\"$imagepolicy\": \"develop:backend\"}\nb: ~ # {\"$imagepolicy\": \"develop:backend\"}\n",
	"? a # {\"$imagepolicy\": \"develop:backend\"}\n: v # {\"$imagepolicy\": \"develop:backend\"}\n",
	"- v # {\"$imagepolicy\": \"develop:backend\"}\n",
	"a: v # {\"$imagepolicy\": \"develop:backend\"}\n---\nb: v # {\"$imagepolicy\": \"develop:backend\"}\n",
	"kind: List\napiVersion: v1\nitems:\n- kind: A\n  metadata: {name: a}\n  b: v # {\"$imagepolicy\": \"develop:backend\"}\n",
	"a: v # {\"$imagepolicy\": \"develop:backend\"}\n# {\"$imagepolicy\": \"develop:backend\"}\nb: w\n",
}

// sameMarkers compares how many scalars our reader and kyaml's take for marked; it gives ours.
func sameMarkers(data []byte) (ours, theirs int, err error) {
	nodes, err := Nodes("f.yaml", data)
	if err != nil {
		return 0, 0, err
	}
	for _, n := range nodes {
		if n.Policy == "develop:backend" && n.Held == nil && n.Anchor == "" {
			ours++
		}
	}
	_, theirs, err = automate(data, "develop:backend")
	return ours, theirs, err
}

func TestMarkersAreReadAsKyamlReadsThem(t *testing.T) {
	for _, seed := range markerSeeds {
		ours, theirs, err := sameMarkers([]byte(strings.Replace(seed, "*x", "w", 1)))
		if err != nil {
			t.Logf("%v: %q", err, seed)
			continue
		}
		if ours != theirs {
			t.Errorf("%d markers, kyaml reads %d in:\n%s", ours, theirs, seed)
		}
	}
}
