package v1alpha1

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write docs/reference/api.md")

const crds = "../../deploy/kustomize/crds"

// field is what a CRD says of a field.
type field struct {
	Type, Format, Description string
	Default                   any
	Enum                      []any
	Required                  []string
	Properties                map[string]*field
	Items                     *field
	AdditionalProperties      *field
}

// TestReferenceIsWhatTheTypesSay writes docs/reference/api.md from the CRDs, which controller-gen makes from the types.
func TestReferenceIsWhatTheTypesSay(t *testing.T) {
	var out strings.Builder
	out.WriteString("# API\n\nEvery field of Backstop's two kinds, from their types by `make golden`. [policies.md](../policies.md) explains a RollbackPolicy, " +
		"and\n[how-it-works.md](../how-it-works.md) what a Rollback records, in order. Backstop alone writes a Rollback, but for `spec.decisions` and\n`spec.lift`.\n")
	for _, file := range []string{"backstop.dev_rollbackpolicies.yaml", "backstop.dev_rollbacks.yaml"} {
		data, err := os.ReadFile(filepath.Join(crds, file))
		if err != nil {
			t.Fatal(err)
		}
		var crd struct {
			Spec struct {
				Names    struct{ Kind string }
				Versions []struct {
					Name   string
					Schema struct {
						OpenAPIV3Schema *field `json:"openAPIV3Schema"`
					}
				}
			}
		}
		if err := yaml.Unmarshal(data, &crd); err != nil || len(crd.Spec.Versions) == 0 {
			t.Fatal(err)
		}
		v := crd.Spec.Versions[0]
		fmt.Fprintf(&out, "\n## %s\n\n`backstop.dev/%s`. %s\n\n| field | type | what |\n|---|---|---|\n",
			crd.Spec.Names.Kind, v.Name, cell(v.Schema.OpenAPIV3Schema.Description))
		for _, part := range []string{"spec", "status"} {
			if s := v.Schema.OpenAPIV3Schema.Properties[part]; s != nil {
				rows(&out, part, s)
			}
		}
	}
	const name = "../../docs/reference/api.md"
	if *update {
		if err := os.WriteFile(name, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(name)
	if err != nil || string(have) != out.String() {
		t.Errorf("docs/reference/api.md is not what the types say: run make generate golden (%v)", err)
	}
}

// rows writes a line for every field below a path.
func rows(out *strings.Builder, path string, s *field) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		f := s.Properties[name]
		at := path + "." + name
		fmt.Fprintf(out, "| `%s` | %s | %s |\n", at, kind(f, slices.Contains(s.Required, name)), cell(f.Description))
		switch {
		case f.Items != nil:
			rows(out, at+"[]", f.Items)
		default:
			rows(out, at, f)
		}
	}
}

// kind is a field's type, with what it may be.
func kind(f *field, required bool) string {
	text := f.Type
	switch {
	case f.Items != nil:
		text = "list of " + strings.Replace(f.Items.Type+"s", "ss", "s", 1)
	case f.AdditionalProperties != nil:
		text = "map of " + f.AdditionalProperties.Type + "s"
	case f.Format != "":
		text = f.Format
	}
	if len(f.Enum) > 0 {
		var values []string
		for _, v := range f.Enum {
			values = append(values, fmt.Sprintf("`%v`", v))
		}
		text = strings.Join(values, ", ")
	}
	if f.Default != nil {
		text += fmt.Sprintf("; default `%v`", f.Default)
	}
	if required {
		text += "; required"
	}
	return text
}

// cell makes a description fit into a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(strings.Join(strings.Fields(text), " "))
}
