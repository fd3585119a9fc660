package deliver_test

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/reconcile/deliver"
)

// Whoever owns a GitRepository chooses its server, and so who answers in a provider's place.
func TestAnswersOfManySmallThingsTakeLittleMemory(t *testing.T) {
	for name, body := range map[string]string{
		"objects": "[" + strings.Repeat("{},", 1<<20) + "{}]", "values": "[" + strings.Repeat("0,", 2<<20-100) + "0]",
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(body))
		}))
		defer srv.Close()
		for _, kind := range []deliver.Provider{deliver.GitHub, deliver.GitLab, deliver.Gitea} {
			t.Run(string(kind)+" "+name, func(t *testing.T) {
				f, err := deliver.Open(server(srv.URL+"/acme/fleet", "token"), deliver.Repository{Provider: kind, API: srv.URL, Project: "acme/fleet"})
				if err != nil {
					t.Fatal(err)
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				pr, err := f.Find(t.Context(), "backstop/revert-0123456789ab", "main")
				runtime.ReadMemStats(&after)
				if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; err == nil || pr != nil || mib > 60 {
					t.Errorf("it takes %d MiB, and says %+v, %v", mib, pr, err)
				}
			})
		}
	}
}
