package deploy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// mostOfAStatus is how large a status may be that is full in every field.
const mostOfAStatus = 264 << 10

// ruled are texts and lists whose bound stands in a CEL rule: their types are Kubernetes' own. Values of an expression
// have none but their number: a rule that looks into them costs more than the server allows.
var ruled = map[string]int{
	"conditions[].message": 1024, "conditions[].reason": 64, "conditions[].lastTransitionTime": 20,
	"elector.matchLabels": 16, "elector.matchExpressions": 16, "elector.matchExpressions[].values": 32,
	"elector.matchExpressions[].key": 317, "elector.matchExpressions[].operator": 12, "elector.matchExpressions[].values[]": 63,
}

// bound is what a rule says of a place in a schema.
func bound(at string) (int, bool) {
	for end, n := range ruled {
		if strings.HasSuffix(at, end) {
			return n, true
		}
	}
	return 0, false
}

// schemaOf reads the schema of one of Backstop's kinds.
func schemaOf(t *testing.T, plural string) apiextensionsv1.JSONSchemaProps {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "deploy", "kustomize", "crds", "backstop.dev_"+plural+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(data, &crd); err != nil {
		t.Fatal(err)
	}
	return *crd.Spec.Versions[0].Schema.OpenAPIV3Schema
}

// visit walks a schema.
func visit(at string, s *apiextensionsv1.JSONSchemaProps, see func(string, *apiextensionsv1.JSONSchemaProps)) {
	see(at, s)
	for name, p := range maps.All(s.Properties) {
		visit(at+"."+name, &p, see)
	}
	if s.Items != nil {
		visit(at+"[]", s.Items.Schema, see)
	}
}

func TestEveryTextAndListHasABound(t *testing.T) {
	for _, plural := range []string{"rollbacks", "rollbackpolicies"} {
		schema := schemaOf(t, plural)
		for _, part := range []string{"spec", "status"} {
			p := schema.Properties[part]
			visit(plural+"."+part, &p, func(at string, s *apiextensionsv1.JSONSchemaProps) {
				_, bounded := bound(at)
				switch {
				case bounded:
				case s.Type == "string" && s.MaxLength == nil && len(s.Enum) == 0:
					t.Errorf("%s has no maxLength", at)
				case s.Type == "array" && s.MaxItems == nil:
					t.Errorf("%s has no maxItems", at)
				case s.AdditionalProperties != nil && s.MaxProperties == nil:
					t.Errorf("%s has no maxProperties", at)
				}
			})
		}
	}
}

// filler makes the largest value that a schema takes.
type filler struct{ n int }

func (f *filler) fill(at string, s *apiextensionsv1.JSONSchemaProps) any {
	switch s.Type {
	case "string":
		return f.text(at, s)
	case "integer":
		return int64(2147483647)
	case "boolean":
		return true
	case "array":
		out := []any{}
		for range *s.MaxItems {
			out = append(out, f.fill(at+"[]", s.Items.Schema))
		}
		return out
	}
	out := map[string]any{}
	for name, p := range maps.All(s.Properties) {
		out[name] = f.fill(at+"."+name, &p)
	}
	if strings.HasSuffix(at, "failures[]") {
		evidence(out)
	}
	return out
}

func (f *filler) text(at string, s *apiextensionsv1.JSONSchemaProps) string {
	f.n++
	n, ok := bound(at)
	switch {
	case strings.HasSuffix(at, "verdict.answer"):
		return "Approve"
	case len(s.Enum) > 0:
		return longestOf(s.Enum)
	case s.Format == "date-time" && ok:
		return "2026-11-29T10:11:12Z"
	case s.Format == "date-time":
		return "2026-11-29T10:11:12.123456Z"
	case strings.Contains(s.Pattern, "[0-9a-f]{12}"):
		return fmt.Sprintf("%012x", f.n)
	case !ok:
		n = int(*s.MaxLength)
	}
	// No two are the same: some lists are maps.
	unique := fmt.Sprintf("T%d", f.n)
	return unique + strings.Repeat("x", max(0, n-len(unique)))
}

func longestOf(enum []apiextensionsv1.JSON) string {
	out := ""
	for _, raw := range enum {
		var s string
		if json.Unmarshal(raw.Raw, &s) == nil && len(s) > len(out) {
			out = s
		}
	}
	return out
}

// evidence leaves of a failure's evidence the largest: it has that of its trigger alone.
func evidence(failure map[string]any) {
	triggers := map[string]string{"pull": "ImagePull", "drift": "Drift", "apply": "Apply", "rollout": "Rollout", "canary": "Canary"}
	largest := ""
	for name := range triggers {
		if largest == "" || size(failure[name]) > size(failure[largest]) {
			largest = name
		}
	}
	for name := range triggers {
		if name != largest {
			delete(failure, name)
		}
	}
	failure["trigger"] = triggers[largest]
}

func size(v any) int {
	data, _ := json.Marshal(v)
	return len(data)
}

// fullStatus is a Rollback's status that is as large as its schema lets it be.
func fullStatus(t *testing.T) map[string]any {
	t.Helper()
	schema := schemaOf(t, "rollbacks")
	status := schema.Properties["status"]
	out := (&filler{}).fill("status", &status).(map[string]any)
	for _, c := range out["conditions"].([]any) {
		c.(map[string]any)["status"] = "Unknown"
	}
	return out
}

func TestAFullStatusIsSmall(t *testing.T) {
	full := fullStatus(t)
	if n := size(full); n > mostOfAStatus {
		t.Errorf("a full status has %d bytes, and %d are the most", n, mostOfAStatus)
		for name, part := range maps.All(full) {
			t.Logf("%s: %d", name, size(part))
		}
	}
}

// full writes it to a real API server, which counts what its rules cost.
func (s suite) full(t *testing.T) {
	c := s.almighty(t, backstop)
	o := object(t, `{apiVersion: backstop.dev/v1alpha1, kind: Rollback, metadata: {name: full, namespace: apps},
		spec: {openedFor: Rollout, subject: {kind: Image, name: "web:v2"}}}`)
	if err := c.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if err := unstructured.SetNestedMap(o.Object, fullStatus(t), "status"); err != nil {
		t.Fatal(err)
	}
	want(t, c.Status().Update(t.Context(), o), "")
	// A transition rule looks at both.
	if err := unstructured.SetNestedField(o.Object, "as before", "status", "waiting", "why"); err != nil {
		t.Fatal(err)
	}
	want(t, c.Status().Update(t.Context(), o), "")
}

func TestAVolumesNameFitsWhereAContainersStands(t *testing.T) {
	schema := schemaOf(t, "rollbacks")
	status := schema.Properties["status"]
	container := status.Properties["failures"].Items.Schema.Properties["container"]
	if name := v1alpha1.ImageVolume(strings.Repeat("v", 63)); int64(len(name)) > *container.MaxLength {
		t.Errorf("%s has %d characters, and %d are the most", name, len(name), *container.MaxLength)
	}
}
