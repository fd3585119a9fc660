package integration

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/test/fleet"
)

// public are the keys of Secrets whose values are none.
var public = []string{"username", "known_hosts", "ca.crt", "tls.crt"}

// secrets are the values of the world's Secrets now, and in every form in which they travel.
func (w *World) secrets(more ...string) []string {
	w.t.Helper()
	all := append([]string{w.Fleet.Password}, more...)
	for _, ns := range w.Fleet.Namespaces() {
		var list corev1.SecretList
		w.must(w.Client.List(w.t.Context(), &list, client.InNamespace(ns)))
		for _, s := range list.Items {
			for key, value := range s.Data {
				if !slices.Contains(public, key) {
					all = append(all, string(value))
				}
			}
		}
	}
	var forms []string
	for _, s := range all {
		if s == "" {
			continue
		}
		// A key in PEM is wrapped: its lines are what would be seen of it.
		if strings.HasPrefix(s, "-----BEGIN") {
			s = strings.Split(s, "\n")[1]
		}
		quoted, _ := json.Marshal(s)
		forms = append(forms, s, strings.Trim(string(quoted), `"`), url.QueryEscape(s), url.PathEscape(s), url.UserPassword("", s).String()[1:],
			base64.StdEncoding.EncodeToString([]byte(s)), base64.StdEncoding.EncodeToString([]byte(w.Fleet.Username+":"+s)))
	}
	return forms
}

// secretNowhere reports that no secret of the world can be read anywhere but in Secrets: not in the sidecar's log and
// metrics, not in Rollbacks, policies and Events, not in Git. more are secrets that are no longer, or were never, in a
// Secret.
func (w *World) secretNowhere(s *Sidecar, more ...string) {
	w.t.Helper()
	places := map[string]string{
		"the sidecar's log": s.Log(),
		"Git":               w.git("log", "--format=%an %ae %cn %ce%n%B", "--patch", fleet.Branch),
	}
	for _, m := range listens.FindAllStringSubmatch(s.Log(), -1) {
		if res, err := http.Get("http://" + m[1] + "/metrics"); err == nil {
			text, _ := io.ReadAll(res.Body)
			res.Body.Close()
			places["what the sidecar serves on "+m[1]] = string(text)
		}
	}
	for _, ns := range w.Fleet.Namespaces() {
		for _, kind := range []string{"rollbacks", "rollbackpolicies", "events"} {
			out, err := w.Env.Kubectl(w.t.Context(), "get", kind, "-n", ns, "-o", "json")
			w.must(err)
			places[kind+" in "+ns] = out
		}
	}
	secrets := w.secrets(more...)
	for place, text := range places {
		w.noSecretIn(place, text, secrets)
	}
}

// noSecretIn fails the test, without repeating the secret.
func (w *World) noSecretIn(place, text string, secrets []string) {
	w.t.Helper()
	for _, secret := range secrets {
		i := strings.Index(text, secret)
		if i < 0 {
			continue
		}
		w.t.Errorf("a secret is in %s: %s[SECRET]%s", place, text[max(0, i-200):i], text[i+len(secret):min(len(text), i+len(secret)+50)])
	}
}
