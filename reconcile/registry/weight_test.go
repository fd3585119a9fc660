package registry_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/registry"
)

// stranger is a registry that whoever creates a pod runs: it answers every manifest by its tag or digest.
func stranger(t *testing.T, answers map[string]string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, of, manifest := strings.Cut(r.URL.Path, "/manifests/")
		body, there := answers[of]
		switch {
		case r.URL.Path == "/v2/" && answers["refuses"] != "":
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(answers["refuses"]))
		case r.URL.Path == "/v2/":
		case !manifest || !there:
			w.WriteHeader(http.StatusNotFound)
		default:
			w.Header().Set("Content-Type", ociIndex)
			w.Header().Set("Docker-Content-Digest", digestOf(body))
			_, _ = w.Write([]byte(body))
		}
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func digestOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// allocated is how much doing something takes, in MiB.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) >> 20
}

// Three bytes of JSON make an entry of a hundred: what a stranger's registry answers is weighed before it is read.
func TestAnswersOfManySmallThingsTakeLittleMemory(t *testing.T) {
	for name, answers := range map[string]map[string]string{
		"entries of an index":   {"v1": `{"schemaVersion":2,"manifests":[` + strings.Repeat("{},", 1<<20) + `{}]}`},
		"entries that are none": {"v1": `{"schemaVersion":2,"manifests":[` + strings.Repeat("0,", 2<<20-50) + `0]}`},
		"layers of an image":    {"v1": `{"schemaVersion":2,"config":{},"layers":[` + strings.Repeat("{},", 1<<20) + `{}]}`},
		"reasons of a refusal":  {"refuses": `{"errors":[` + strings.Repeat("{},", 2<<20) + `{}]}`},
		"details of a refusal":  {"refuses": `{"errors":[` + strings.Repeat(`{"detail":{}},`, 500_000) + `{}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			host := stranger(t, answers)
			r := registry.New(registry.Options{})
			q := reconcile.Question{Image: host + "/app:v1", Platforms: []string{"linux/amd64"}}
			var got reconcile.Proof
			mib := allocated(func() { got = r.Prove(context.Background(), q) })
			if got.Finding != reconcile.FindingUnproved || mib > 60 {
				t.Errorf("%d MiB for %s: %s", mib, got.Finding, got.Sentence)
			}
		})
	}
}

// What is remembered of manifests is what is looked at, not what a stranger wrote beside it.
func TestRememberedManifestsAreSmall(t *testing.T) {
	filler := strings.Repeat("x", 3<<20)
	answers := map[string]string{}
	var entries []string
	for i := range 24 {
		m := fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%064x","size":1,`+
			`"annotations":{"a":"%s"}},"layers":[]}`, i, filler)
		answers[digestOf(m)] = m
		entries = append(entries, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, ociImage, digestOf(m), len(m)))
	}
	answers["v1"] = `{"schemaVersion":2,"manifests":[` + strings.Join(entries, ",") + `]}`
	answers[digestOf(answers["v1"])] = answers["v1"]
	host := stranger(t, answers)
	r := registry.New(registry.Options{})
	held := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc >> 20
	}
	before := held()
	got := r.Prove(context.Background(), reconcile.Question{Image: host + "/app:v1", Platforms: []string{"linux/s390x"}})
	if after := held(); after > before+20 {
		t.Errorf("%d MiB are held after one question, %d before: %s", after, before, got.Sentence)
	}
	runtime.KeepAlive(r)
	runtime.KeepAlive(answers)
}
