// Package codebase walks the product's own code, for tests that hold all of it to a rule.
package codebase

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Walk visits each Go file of the product, without its tests. root is the way to the module from the test's folder.
func Walk(t testing.TB, root string, visit func(path string) error) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case e.IsDir() && (rel == "test" || rel == "scripts" || strings.HasPrefix(e.Name(), ".") && rel != "."):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		return visit(path)
	})
	if err != nil {
		t.Fatal(err)
	}
}
