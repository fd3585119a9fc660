package main

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// applied reads one Kustomization.
type applied struct {
	client.Reader
	spec kustomizev1.KustomizationSpec
}

func (a applied) Get(_ context.Context, _ client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	if k, ok := o.(*kustomizev1.Kustomization); ok {
		k.Spec = a.spec
	}
	return nil
}

func TestARevertThatFluxCouldNotApplyIsRefused(t *testing.T) {
	const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: " +
		"[{name: app, image: \"reg/web:TAG\"}]}}}\n"
	entry := "resources: [web.yaml]\nimages: [{name: reg/web, newTag: TAG}]\n"
	tests := map[string]struct {
		// first and second version of the kustomization, whose tag is v1 and v2.
		first, second string
		refused       string
	}{
		"what kustomize builds": {first: entry, second: entry},
		"a value with a variable that never ends": {
			first: strings.Replace(entry, "TAG", `"${X"`, 1), second: entry, refused: "would keep Flux from applying",
		},
		"what is not built as it is either": {first: entry, second: entry + "patches: [{patch: nonsense}]\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, err := gitserver.Start(gitserver.Options{Root: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = server.Close() })
			bare, err := server.Create("fleet.git")
			if err != nil {
				t.Fatal(err)
			}
			work := t.TempDir()
			commit := func(kustomization, tag string) {
				for file, text := range map[string]string{"apps/kustomization.yaml": kustomization, "apps/web.yaml": deployment} {
					if err := os.MkdirAll(filepath.Join(work, "apps"), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(work, file), []byte(strings.ReplaceAll(text, "TAG", tag)), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				for _, args := range [][]string{{"add", "-A"}, {"commit", "-qm", tag}, {"push", "-q", bare, "HEAD:main"}} {
					cmd := exec.CommandContext(t.Context(), "git", args...)
					cmd.Dir, cmd.Env = work, append(gitserver.Env(), "GIT_AUTHOR_NAME=J", "GIT_AUTHOR_EMAIL=j@example.com",
						"GIT_COMMITTER_NAME=J", "GIT_COMMITTER_EMAIL=j@example.com")
					if out, err := cmd.CombinedOutput(); err != nil {
						t.Fatalf("git %v: %v: %s", args, err, out)
					}
				}
			}
			if out, err := exec.CommandContext(t.Context(), "git", "init", "-q", "-b", "main", work).CombinedOutput(); err != nil {
				t.Fatalf("git init: %v: %s", err, out)
			}
			commit(tt.first, "v1")
			commit(tt.second, "v2")
			mirrors, err := gitrepo.New(t.TempDir(), gitrepo.Options{})
			if err != nil {
				t.Fatal(err)
			}
			origin := reconcile.Origin{
				Source: reconcile.Source{Name: types.NamespacedName{Namespace: "flux-system", Name: "fleet"},
					URL: server.URL + "/fleet.git", Branch: "main"},
				Root: reconcile.Root{Path: "apps", By: v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}},
			}
			s, err := mirrors.Blame(t.Context(), origin.Source, reconcile.Query{Image: "reg/web:v2", Namespace: "shop", Root: origin.Root})
			if err != nil {
				t.Fatal(err)
			}
			former, err := mirrors.Former(t.Context(), origin.Source, s, 1)
			if err != nil || len(former) != 1 {
				t.Fatalf("before it was %v, %v", former, err)
			}
			r := reconcile.Revert{Image: "reg/web:v2", Suspect: s, Target: v1alpha1.Target{Image: former[0].Image, Values: former[0].Values}}
			err = newRenderings(mirrors, applied{spec: kustomizev1.KustomizationSpec{
				Path: "./apps", PostBuild: &kustomizev1.PostBuild{Substitute: map[string]string{"REGION": "eu"}},
			}}, slog.New(slog.DiscardHandler)).check(t.Context(), origin, r)
			if why, refused := reconcile.AsRefusal(err); refused != (tt.refused != "") || !strings.Contains(why, tt.refused) {
				t.Errorf("got %v, want a refusal with %q", err, tt.refused)
			}
		})
	}
}
