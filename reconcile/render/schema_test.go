package render

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// heldMB is what the heap holds.
func heldMB() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / 1e6
}

func TestTheSchemaOfABuildIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		giveBack(library.built)
		without := heldMB()
		for i, wait := range []time.Duration{schemaKept / 2, 2 * schemaKept} {
			files := filesys.MakeFsInMemory()
			for name, text := range map[string]string{
				"kustomization.yaml": "resources: [a.yaml]\npatches: [{path: b.yaml}]\n",
				"a.yaml":             "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n",
				"b.yaml":             "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, labels: {b: c}}\n",
			} {
				if err := files.WriteFile(name, []byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := build(files, ".", krusty.MakeDefaultOptions()); err != nil {
				t.Fatal(err)
			}
			if with := heldMB(); with < without+2 {
				t.Fatalf("a build holds %.1f MB of %.1f: there is nothing to give back", with-without, with)
			}
			time.Sleep(wait)
			synctest.Wait()
			if kept := heldMB()-without > 2; kept != (i == 0) {
				t.Errorf("%s after a build its schema is kept: %t", wait, kept)
			}
		}
	})
}
