package imports_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// most is how many files of a package may use each other in a circle. What is more has no order in which it can be
// read.
const most = 3

func TestFilesOfAPackageUseEachOtherInOneDirection(t *testing.T) {
	for _, line := range goList(t, "-f", "{{.ImportPath}} {{.Dir}}", module+"...") {
		name, dir, _ := strings.Cut(line, " ")
		name = strings.TrimPrefix(name, module)
		if strings.HasPrefix(name, "test/") {
			continue
		}
		for _, circle := range circlesOf(t, dir) {
			if len(circle) > most {
				t.Errorf("%d files of %s use each other in a circle: %s. Move what is used down, to a file of its own or to the "+
					"one that it is about", len(circle), name, strings.Join(circle, ", "))
			}
		}
	}
}

func TestFilesInACircleAreSeen(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.go": "package p\n\nfunc a(t T) { t.m() }\n",
		"b.go": "package p\n\ntype T struct{}\n\nfunc (T) m() { b() }\n",
		"c.go": "package p\n\nfunc b() { a(T{}) }\n",
		"d.go": "package p\n\nfunc d() { a(T{}) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := [][]string{{"a.go", "b.go", "c.go"}}
	if diff := cmp.Diff(want, circlesOf(t, dir)); diff != "" {
		t.Errorf("the circles (-want +got):\n%s", diff)
	}
}

// circlesOf are the files of a package that use each other's declarations and methods in a circle.
func circlesOf(t *testing.T, dir string) [][]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(filepath.Base(name), "zz_generated") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	uses := map[*ast.Ident]types.Object{}
	// What other packages are does not matter here, so that they stay empty and what is used of them is an error.
	check := types.Config{Importer: empty{}, Error: func(error) {}}
	pkg, _ := check.Check(dir, fset, files, &types.Info{Uses: uses})
	at := func(p token.Pos) string { return filepath.Base(fset.Position(p).Filename) }
	arrows := map[string]map[string]bool{}
	for id, of := range uses {
		if of.Pkg() != pkg || !declared(pkg, of) || at(id.Pos()) == at(of.Pos()) {
			continue
		}
		from := at(id.Pos())
		if arrows[from] == nil {
			arrows[from] = map[string]bool{}
		}
		arrows[from][at(of.Pos())] = true
	}
	return components(arrows)
}

// declared reports whether an object is a declaration or a method of a package, and no field, parameter or variable.
func declared(pkg *types.Package, of types.Object) bool {
	if f, ok := of.(*types.Func); ok && f.Signature().Recv() != nil {
		return true
	}
	return of.Parent() == pkg.Scope()
}

type empty struct{}

func (empty) Import(name string) (*types.Package, error) {
	pkg := types.NewPackage(name, path.Base(name))
	pkg.MarkComplete()
	return pkg, nil
}

// components are the files that reach each other, where there are several.
func components(arrows map[string]map[string]bool) [][]string {
	reach := map[string]map[string]bool{}
	for from := range arrows {
		seen := map[string]bool{}
		next := []string{from}
		for len(next) > 0 {
			for to := range arrows[next[0]] {
				if !seen[to] {
					seen[to] = true
					next = append(next, to)
				}
			}
			next = next[1:]
		}
		reach[from] = seen
	}
	var out [][]string
	done := map[string]bool{}
	for from := range reach {
		if done[from] || !reach[from][from] {
			continue
		}
		var circle []string
		for to := range reach[from] {
			if reach[to][from] {
				circle = append(circle, to)
				done[to] = true
			}
		}
		slices.Sort(circle)
		out = append(out, circle)
	}
	return out
}
