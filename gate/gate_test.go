package gate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/backstop-dev/backstop/gate"
	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/gate/sources"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/registry"
	"github.com/backstop-dev/backstop/test/registrystub"
)

// tree makes a tree of files.
func tree(files map[string]string) sources.Tree {
	out := fstest.MapFS{}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	return sources.Tree{FS: out}
}

// deployment is a manifest that runs an image.
func deployment(name, image string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: %s
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      containers:
      - name: %[1]s
        image: %s
`, name, image)
}

func check(t *testing.T, o gate.Options) *report.Report {
	t.Helper()
	r, err := gate.Check(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func config(t *testing.T, text string) *gate.Config {
	t.Helper()
	c, err := gate.ParseConfig(".backstop.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// told writes findings as level rule file:line.
func told(r *report.Report) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, fmt.Sprintf("%s %s %s:%d", f.Level, f.Rule, f.File, f.Line))
	}
	return out
}

func wantFindings(t *testing.T, r *report.Report, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, told(r)); diff != "" {
		for _, f := range r.Findings {
			t.Logf("%s → %s", f.Message, f.Fix)
		}
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

// wantWords looks for words in the only finding.
func wantWords(t *testing.T, r *report.Report, words ...string) {
	t.Helper()
	var all []string
	for _, f := range r.Findings {
		all = append(all, f.Message+" → "+f.Fix)
	}
	for _, word := range words {
		if !strings.Contains(strings.Join(all, "\n"), word) {
			t.Errorf("%q is not said in:\n%s", word, strings.Join(all, "\n"))
		}
	}
}

func images(r *report.Report) []string {
	var out []string
	for _, u := range r.Images {
		out = append(out, fmt.Sprintf("%s %s:%d", u.Image, u.File, u.Line))
	}
	return out
}

// stub starts a registry with one user, ci.
func stub(t *testing.T, o registrystub.Options) *registrystub.Registry {
	t.Helper()
	r, err := registrystub.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func push(t *testing.T, r *registrystub.Registry, repo, tag string, platforms ...string) string {
	t.Helper()
	if len(platforms) == 0 {
		platforms = []string{"linux/amd64"}
	}
	digest, err := r.PushImage(repo, tag, platforms...)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// tag gives an image that exists another tag.
func tag(t *testing.T, r *registrystub.Registry, repo, from, to string) {
	t.Helper()
	ref, err := name.NewTag(r.Host() + "/" + repo + ":" + from)
	if err != nil {
		t.Fatal(err)
	}
	desc, err := remote.Get(ref, remote.WithTransport(r))
	if err == nil {
		err = remote.Tag(ref.Context().Tag(to), desc, remote.WithTransport(r))
	}
	if err != nil {
		t.Fatal(err)
	}
}

var ci = registrystub.Login{Username: "ci", Password: "s3cret"}

// asking are options that ask a registry, with its login or without.
func asking(r *registrystub.Registry, in bool) gate.Options {
	access := reconcile.Access{CA: r.CA()}
	if in {
		data, _ := json.Marshal(map[string]any{"auths": map[string]any{
			r.Host(): map[string]string{"username": ci.Username, "password": ci.Password},
		}})
		access.DockerConfigs = [][]byte{data}
	}
	return gate.Options{
		Registry: registry.New(registry.Options{Timeout: 5 * time.Second}), Patience: time.Millisecond,
		Access: func(context.Context, string) reconcile.Access { return access },
	}
}
