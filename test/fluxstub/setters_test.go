package fluxstub

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// copyDir gives a copy of a folder, and its content by file name.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}
	return files
}

// What the real image-automation-controller made of these files is recorded.
func TestAWriteBackIsThatOfTheRealControllerToTheByte(t *testing.T) {
	dir := copyDir(t, "testdata/writeback/before")
	changes, err := applySetters(dir, policySetters("develop:backend", "localhost:5000/backend", "develop-v1.1.0-1700000200", ""))
	if err != nil {
		t.Fatal(err)
	}
	want := content(t, "testdata/writeback/after")
	if len(want) != 11 {
		t.Fatalf("%d recorded files", len(want))
	}
	if diff := cmp.Diff(want, content(t, dir)); diff != "" {
		t.Errorf("-recorded +got:\n%s", diff)
	}
	if got := len(changes.Changes()); got != 12 {
		t.Errorf("%d changes: %v", got, changes.Changes())
	}
	again, err := applySetters(dir, policySetters("develop:backend", "localhost:5000/backend", "develop-v1.1.0-1700000200", ""))
	if err != nil || len(again.FileChanges) != 0 {
		t.Errorf("a second run changes %v, %v", again, err)
	}
}

func TestMarkers(t *testing.T) {
	for _, tc := range []struct{ name, before, after string }{
		{"further keys do not disable one", "a: app:v1 # {\"$imagepolicy\":\"ns:p\",\"paused\":\"x\"}\n", "a: app:v2 # {\"$imagepolicy\":\"ns:p\",\"paused\":\"x\"}\n"},
		{"another key does", "a: app:v1 # {\"$imagepolicy-paused\": \"ns:p\"} \"$imagepolicy\"\n", ""},
		{"a prefix does", "a: app:v1 # backstop:hold not=v2 since=2026-11-21T09:13:26Z {\"$imagepolicy\": \"ns:p\"}\n", ""},
		{"the line above a mapping's value is no place for one", "# {\"$imagepolicy\": \"ns:p\"}\na: app:v1\n", ""},
		{"the line above a list's item is", "a:\n# {\"$imagepolicy\": \"ns:p\"}\n- app:v1\n", "a:\n# {\"$imagepolicy\": \"ns:p\"}\n- app:v2\n"},
		{"a tag that looks like a number is quoted", "a: v1 # {\"$imagepolicy\": \"ns:n:tag\"}\n", "a: \"17\" # {\"$imagepolicy\": \"ns:n:tag\"}\n"},
		{"a digest that is not reflected empties the value", "a: app@sha256:00 # {\"$imagepolicy\": \"ns:p:digest\"}\n", "a: \"\" # {\"$imagepolicy\": \"ns:p:digest\"}\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(tc.before), 0o600); err != nil {
				t.Fatal(err)
			}
			setters := policySetters("ns:p", "app", "v2", "")
			for k, v := range policySetters("ns:n", "app", "17", "") {
				setters[k] = v
			}
			if _, err := applySetters(dir, setters); err != nil {
				t.Fatal(err)
			}
			if tc.after == "" {
				tc.after = tc.before
			}
			if diff := cmp.Diff(tc.after, content(t, dir)["a.yaml"]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestALinkIsNotFollowed(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "a.yaml")
	const text = "a: app:v1 # {\"$imagepolicy\": \"ns:p\"}\n"
	if err := os.WriteFile(outside, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link.yaml")); err != nil {
		t.Fatal(err)
	}
	if changes, err := applySetters(dir, policySetters("ns:p", "app", "v2", "")); err != nil || len(changes.FileChanges) != 0 {
		t.Errorf("got %v, %v", changes, err)
	}
}
