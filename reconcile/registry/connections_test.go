package registry_test

import (
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/registry"
	"github.com/backstop-dev/backstop/test/registrystub"
)

func TestManyQuestionsShareFewConnections(t *testing.T) {
	for title, images := range map[string]func(int) string{
		"one repository":    func(i int) string { return fmt.Sprintf("app:v%d", i) },
		"many repositories": func(i int) string { return fmt.Sprintf("app%d:v1", i) },
	} {
		t.Run(title, func(t *testing.T) {
			stub, err := registrystub.Start(registrystub.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer stub.Close()
			var opened atomic.Int32
			server := httptest.NewUnstartedServer(stub)
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					opened.Add(1)
				}
			}
			server.StartTLS()
			access := reconcile.Access{CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})}
			defer server.Close()
			host := strings.TrimPrefix(server.URL, "https://")
			r := registry.New(registry.Options{})
			const waves, parallel = 8, 16
			for wave := range waves {
				var wg sync.WaitGroup
				for i := range parallel {
					image := images(wave*parallel + i)
					repo, tag, _ := strings.Cut(image, ":")
					if _, err := stub.PushImage(repo, tag); err != nil {
						t.Fatal(err)
					}
					wg.Go(func() {
						p := r.Prove(t.Context(), reconcile.Question{Image: host + "/" + image, Access: access})
						if p.Finding != reconcile.FindingPresent {
							t.Errorf("%s: %s", image, p.Sentence)
						}
					})
				}
				wg.Wait()
			}
			// Some dial while another connection becomes free.
			if n := opened.Load(); n > 3*parallel {
				t.Errorf("%d connections for %d questions, %d at once", n, waves*parallel, parallel)
			}
		})
	}
}
