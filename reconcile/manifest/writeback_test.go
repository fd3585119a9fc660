package manifest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// latest is what ImagePolicy develop:backend selected when the fixtures in testdata/writeback were recorded from
// image-automation-controller v1.2.1.
const latest = "localhost:5000/backend:develop-v1.1.0-1700000200"

// written is what the automation writes at a marker.
func written(suffix string) string {
	repository, tag, digest := Split(latest)
	return map[string]string{"": latest, "name": repository, "tag": tag, "digest": digest}[suffix]
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestMarkersAreExactlyWhatImageAutomationWrote(t *testing.T) {
	files, err := filepath.Glob("testdata/writeback/before/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	markers := 0
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			before, after := read(t, file), read(t, strings.Replace(file, "/before/", "/after/", 1))
			nodes, err := Nodes(file, before)
			if err != nil {
				if !errors.Is(err, ErrNotYAML) || string(before) != string(after) {
					t.Fatalf("Nodes: %v", err)
				}
				return
			}
			if filepath.Ext(file) == ".txt" {
				return // image automation looks at names; Nodes is only asked about YAML files
			}
			want := map[string]string{}
			for _, n := range nodes {
				want[n.Pointer] = n.Value
				if n.Policy == "develop:backend" && n.Held == nil {
					want[n.Pointer] = written(n.Suffix)
					markers++
				}
			}
			got := map[string]string{}
			nodes, err = Nodes(file, after)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range nodes {
				got[n.Pointer] = n.Value
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("after the write-back (-want +got):\n%s", diff)
			}
			if _, only, err := Changed(before, after); err != nil || !only {
				t.Errorf("Changed says that more than markers changed: only %v, err %v", only, err)
			}
		})
	}
	if markers != 14 {
		t.Errorf("%d markers in the fixtures, want 14", markers)
	}
}

// The stand-in for image automation in these tests does to every fixture what the real one did, byte for byte.
func TestTheStandInWritesWhatImageAutomationWrote(t *testing.T) {
	files, err := filepath.Glob("testdata/writeback/before/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		got, _, _ := automate(read(t, file), "develop:backend")
		want := read(t, strings.Replace(file, "/before/", "/after/", 1))
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}
