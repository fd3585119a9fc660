//go:build controllers

package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// alertsOf has notification-controller post the events of the Kustomizations in a namespace.
const alertsOf = `
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {name: backstop, namespace: NS}
spec: {type: generic-hmac, address: "http://ADDR/alerts", secretRef: {name: backstop-alerts}}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Alert
metadata: {name: backstop, namespace: NS}
spec: {providerRef: {name: backstop}, eventSeverity: info, eventSources: [{kind: Kustomization, name: "*"}]}
`

var taken = regexp.MustCompile(`(?m)^backstop_alerts_total\{result="(\S+)"\} ([1-9]\d*)$`)

// What notification-controller itself posts is signed as Backstop reads it.
func TestNotificationControllerWakesWhatItNames(t *testing.T) {
	if os.Getenv("FLUX") == "" {
		t.Fatal("FLUX names no folder with Flux's controllers")
	}
	t.Parallel()
	w := world(t, quick)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	addr := l.Addr().String()
	w.must(l.Close())
	const token = "a token of thirty-two characters"
	key := w.scratch("alerts.key")
	w.must(os.WriteFile(key, []byte(token), 0o600))
	s := startSidecar(t, w, "--alerts-addr="+addr, "--alerts-key-file="+key)
	ns := w.Fleet.FluxNamespace()
	w.must(w.Client.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "backstop-alerts"},
		StringData: map[string]string{"token": token}}))
	w.must(w.Env.Apply(t.Context(), strings.NewReplacer("NS", ns, "ADDR", addr).Replace(alertsOf)))
	w.Settle()
	n := 0
	w.Until("an event of kustomize-controller is taken", func() error {
		// Each release is an event.
		n++
		w.release(prod, "backend", n)
		said := ""
		for _, m := range listens.FindAllStringSubmatch(s.Log(), -1) {
			res, err := http.Get("http://" + m[1] + "/metrics")
			if err != nil {
				continue
			}
			text, err := io.ReadAll(res.Body)
			w.must(res.Body.Close())
			w.must(err)
			for _, f := range taken.FindAllStringSubmatch(string(text), -1) {
				if f[1] == "taken" {
					return nil
				}
				said += f[0] + "\n"
			}
		}
		return fmt.Errorf("none is taken: %s", said)
	})
}
