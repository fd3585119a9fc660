package v1alpha1_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// An object with a value that its CRD does not know is refused by the API server, whatever the types say.
func TestEveryConstantOfATypeWithAnEnumIsInIt(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	allowed, named := map[string][]string{}, map[string][]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			d, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if values := enumOf(d.Doc); values != nil {
						allowed[s.Name.Name] = values
					}
				case *ast.ValueSpec:
					if of, ok := s.Type.(*ast.Ident); ok && d.Tok == token.CONST {
						named[of.Name] = append(named[of.Name], textsOf(t, s.Values)...)
					}
				}
			}
		}
	}
	if len(allowed) < 10 {
		t.Fatalf("%d types with an enum were found: %v", len(allowed), slices.Sorted(maps.Keys(allowed)))
	}
	for name, enum := range allowed {
		for _, value := range named[name] {
			if !slices.Contains(enum, value) {
				t.Errorf("%s: %q is not in its enum", name, value)
			}
		}
		for _, value := range enum {
			if named[name] != nil && !slices.Contains(named[name], value) {
				t.Errorf("%s: no constant is %q, which is in its enum", name, value)
			}
		}
	}
}

// enumOf is what the marker of a type allows; nil where there is none.
func enumOf(doc *ast.CommentGroup) []string {
	if doc == nil {
		return nil
	}
	for _, line := range doc.List {
		if values, ok := strings.CutPrefix(line.Text, "// +kubebuilder:validation:Enum="); ok {
			return strings.Split(values, ";")
		}
	}
	return nil
}

func textsOf(t *testing.T, values []ast.Expr) []string {
	t.Helper()
	var out []string
	for _, v := range values {
		lit, ok := v.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			continue
		}
		value, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, value)
	}
	return out
}
