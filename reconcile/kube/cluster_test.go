package kube

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func TestTheClustersUIDIsThatOfKubeSystem(t *testing.T) {
	for name, tt := range map[string]struct {
		codes []int
		want  string
		says  string
	}{
		"it may be read":                         {codes: []int{200}, want: "uid-1"},
		"it may not, as in a tenant's namespace": {codes: []int{403}, says: "told apart by --cluster alone"},
		"the API server answers at last":         {codes: []int{500, 200}, want: "uid-1", says: "trying again"},
	} {
		t.Run(name, func(t *testing.T) {
			codes := tt.codes
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/api/v1/namespaces/kube-system" {
					t.Errorf("asked for %s", r.URL.Path)
				}
				code := codes[0]
				codes = codes[1:]
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(code)
				answer := map[string]any{"kind": "Namespace", "apiVersion": "v1",
					"metadata": map[string]any{"name": "kube-system", "uid": "uid-1"}}
				if code != http.StatusOK {
					answer = map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
						"reason": map[int]string{403: "Forbidden", 500: "InternalError"}[code]}
				}
				_ = json.NewEncoder(w).Encode(answer)
			}))
			defer srv.Close()
			set, err := kubernetes.NewForConfig(&rest.Config{Host: srv.URL})
			if err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			got, err := ClusterUID(t.Context(), set.CoreV1(), slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil || got != tt.want || !strings.Contains(log.String(), tt.says) || (tt.says == "") != (log.String() == "") {
				t.Errorf("got %q, %v, log %q, want %q and …%s…", got, err, log.String(), tt.want, tt.says)
			}
		})
	}
}
