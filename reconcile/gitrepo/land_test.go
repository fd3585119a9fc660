package gitrepo

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestRevertOfOneImageIsWhatGitRevertMakes(t *testing.T) {
	w, bad := standard(t)
	s := w.blame(query(repo + ":" + tag1))
	want := v1alpha1.Suspect{
		Source: v1alpha1.ObjectRef{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}, Branch: "main", Applier: applier,
		Image: repo + ":" + tag1, Commit: bad, Parent: w.git("rev-parse", bad+"^"), Subject: "Update from image update automation",
		Author: "Jane <jane@example.com>", When: s.When, Automation: automation, OnlyImages: true,
		Nodes: []v1alpha1.Node{{
			File: "apps/develop/backend.yaml", Pointer: "Deployment/develop/backend#/spec/template/spec/containers[name=app]/image",
			Part: "Image", Bad: repo + ":" + tag1, Former: repo + ":" + tag0, Marker: "develop:backend",
		}},
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("suspect (-want +got):\n%s", diff)
	}
	out := w.land(w.wish(s))
	w.git("revert", "--no-edit", bad)
	if want, got := w.git("rev-parse", "HEAD^{tree}"), w.run(w.bare, "rev-parse", out[0].Change.Commit+"^{tree}"); got != want {
		t.Errorf("tree of the revert is %s, git revert makes %s", got, want)
	}
	if got := w.run(w.bare, "rev-list", "--count", bad+"..main"); got != "2" {
		t.Errorf("%s commits were pushed, want the revert and the hold", got)
	}
	t.Log(w.run(w.bare, "log", "-3", "-p", "main"))
	w.run(w.bare, "fsck", "--strict")
}
