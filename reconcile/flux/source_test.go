package flux

import (
	"fmt"
	"strings"
	"testing"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/reconcile"
)

// sourceIn is the backend's source in a captured scene that was varied.
func sourceIn(t *testing.T, vary func(*scene)) reconcile.Source {
	t.Helper()
	s := captured(t)
	vary(s)
	got, err := s.flux(t).Origin(t.Context(), "develop", backend, nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return got.Source
}

func TestSourceIsReadOnly(t *testing.T) {
	git := func(s *scene) *automationv1.GitSpec { return s.auto.Spec.GitSpec }
	for _, c := range []struct {
		name  string
		scene func(s *scene)
		want  string
	}{
		{"never, where the automation pushes to the deployed branch", func(*scene) {}, ""},
		{"never, where the push branch is not said", func(s *scene) { git(s).Push = nil }, ""},
		{"never, where the checkout is the GitRepository's", func(s *scene) { git(s).Checkout = nil }, ""},
		{"when the automation works on another branch", func(s *scene) {
			git(s).Checkout.Reference.Branch, git(s).Push.Branch = "dev", "dev"
		}, "works on branch dev, while Flux deploys main"},
		{"when the automation starts from a tag", func(s *scene) {
			git(s).Checkout.Reference = sourcev1.GitRepositoryRef{Tag: "v1"}
		}, "is pinned to tag v1"},
		{"when the signing key may not be read", func(s *scene) {
			git(s).Commit.SigningKey = &automationv1.SigningKey{SecretRef: meta.LocalObjectReference{Name: "key"}}
			s.more = append(s.more, secret("develop", "key", nil))
		}, "Secret develop/key, which ImageUpdateAutomation/develop/develop signs with, holds no git.asc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if ro := sourceIn(t, c.scene).ReadOnly; (c.want == "") != (ro == "") || !strings.Contains(ro, c.want) {
				t.Errorf("got %q, want %q", ro, c.want)
			}
		})
	}
}

// A branch that image automation does not push to gets its changes by pull request.
func TestSourceIsAside(t *testing.T) {
	git := func(s *scene) *automationv1.GitSpec { return s.auto.Spec.GitSpec }
	for _, c := range []struct {
		name  string
		scene func(s *scene)
		want  string
	}{
		{"never, where the automation pushes to the deployed branch", func(*scene) {}, ""},
		{"when the automation pushes to another branch", func(s *scene) { git(s).Push.Branch = "image-updates" },
			"ImageUpdateAutomation/develop/develop pushes to image-updates, while Flux deploys main: changes reach main by a pull request only"},
		{"when the automation pushes by refspec for review", func(s *scene) {
			git(s).Push = &automationv1.PushSpec{Refspec: "refs/heads/main:refs/for/main"}
		}, "pushes to refs/for/main"},
		{"never, where the refspec is the branch", func(s *scene) {
			git(s).Push = &automationv1.PushSpec{Refspec: "refs/heads/main:refs/heads/main"}
		}, ""},
		{"never, where another automation of that folder pushes directly", func(s *scene) {
			direct := s.auto.DeepCopy()
			direct.Name = "direct"
			git(s).Push.Branch = "image-updates"
			s.more = append(s.more, direct)
		}, ""},
		{"when only automations of other folders push directly", func(s *scene) {
			direct := s.auto.DeepCopy()
			direct.Name, direct.Spec.Update.Path = "direct", "./apps/staging"
			git(s).Push.Branch = "image-updates"
			s.more = append(s.more, direct)
		}, "pushes to image-updates"},
		{"never, where the automation of another folder pushes elsewhere", func(s *scene) {
			git(s).Push.Branch, s.auto.Spec.Update.Path = "image-updates", "./apps/staging"
		}, ""},
		{"never, where the automation is of another repository", func(s *scene) {
			git(s).Push.Branch, s.writer.Spec.URL = "image-updates", "http://127.0.0.1:3000/other.git"
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := sourceIn(t, c.scene)
			if aside := got.Aside; (c.want == "") != (aside == "") || !strings.Contains(aside, c.want) || got.ReadOnly != "" {
				t.Errorf("got %q, read-only %q, want %q", aside, got.ReadOnly, c.want)
			}
		})
	}
}

func TestAReadOnlySourceIsReadAsFluxReadsIt(t *testing.T) {
	s := captured(t)
	s.auto.Spec.GitSpec.Checkout.Reference.Branch, s.auto.Spec.GitSpec.Push.Branch = "dev", "dev"
	got, err := s.flux(t).Origin(t.Context(), "develop", backend, nil, time.Time{})
	if err != nil || got.Source.Name.Namespace != "flux-system" || got.Source.ReadOnly == "" {
		t.Errorf("got %s, read-only %q, %v", got.Source.Name, got.Source.ReadOnly, err)
	}
}

func TestTheSuspectsAutomationDecides(t *testing.T) {
	s := captured(t)
	aside := s.auto.DeepCopy()
	aside.Name, aside.Spec.GitSpec.Push.Branch, aside.Spec.Update.Path = "aside", "image-updates", "./elsewhere"
	s.more = append(s.more, aside)
	f := s.flux(t)
	first, err := f.Origin(t.Context(), "develop", backend, nil, time.Time{})
	if err != nil || first.Source.Aside != "" {
		t.Fatalf("got %q, %v", first.Source.Aside, err)
	}
	su := suspectOf(first)
	by := ref("ImageUpdateAutomation", "develop", "aside")
	su.Automation = &by
	again, err := f.Reopen(t.Context(), "develop", su, nil, time.Time{})
	if err != nil || !strings.Contains(again.Source.Aside, "develop/aside pushes to image-updates") {
		t.Errorf("got %q, %v", again.Source.Aside, err)
	}
}

func TestSigning(t *testing.T) {
	for _, c := range []struct {
		name string
		key  automationv1.SigningKeyType
		data map[string]string
		want reconcile.SigningKey
	}{
		{"OpenPGP is the default", "", map[string]string{"git.asc": "pgp key", "passphrase": "p"},
			reconcile.SigningKey{Type: "gpg", Key: []byte("pgp key"), Passphrase: []byte("p")}},
		{"SSH", "ssh", map[string]string{"identity": "ssh key", "password": "p"},
			reconcile.SigningKey{Type: "ssh", Key: []byte("ssh key"), Passphrase: []byte("p")}},
		{"no passphrase", "gpg", map[string]string{"git.asc": "pgp key"},
			reconcile.SigningKey{Type: "gpg", Key: []byte("pgp key")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := captured(t)
			s.auto.Spec.GitSpec.Commit.SigningKey = &automationv1.SigningKey{
				Type: c.key, SecretRef: meta.LocalObjectReference{Name: "key"},
			}
			s.more = append(s.more, secret("develop", "key", c.data))
			s.repo.Spec.Verification = &sourcev1.GitRepositoryVerification{}
			got, err := s.flux(t).Origin(t.Context(), "develop", backend, nil, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&c.want, got.Source.Signing); diff != "" || !got.Source.Verified {
				t.Errorf("verified %v, %s", got.Source.Verified, diff)
			}
			if printed := fmt.Sprintf("%+v %#v", got, got); strings.Contains(printed, string(c.want.Key)) ||
				strings.Contains(printed, "hunter2") {
				t.Error("a secret is printed")
			}
		})
	}
}

func TestVerified(t *testing.T) {
	for mode, want := range map[sourcev1.GitVerificationMode]bool{"": true, "head": true, "HEAD": true,
		"TagAndHEAD": true, "Tag": false} {
		repo := &sourcev1.GitRepository{}
		repo.Spec.Verification = &sourcev1.GitRepositoryVerification{Mode: mode}
		if got := verified(repo); got != want {
			t.Errorf("mode %q: got %v", mode, got)
		}
	}
	if verified(&sourcev1.GitRepository{}) {
		t.Error("a source without spec.verify takes every commit")
	}
}

func TestSourceTimeoutProviderAndProxy(t *testing.T) {
	s := captured(t)
	s.writer.Spec.Timeout = &metav1.Duration{Duration: 7 * time.Second}
	s.writer.Spec.Provider = "github"
	s.writer.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: "proxy"}
	s.more = append(s.more, secret("develop", "proxy", map[string]string{"address": "http://proxy"}))
	got, err := s.flux(t).Origin(t.Context(), "develop", backend, nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	src := got.Source.Push
	if src == nil || src.Timeout != 7*time.Second || src.Auth.Provider != "github" ||
		string(src.Auth.Proxy["address"]) != "http://proxy" || got.Source.Auth.Proxy != nil {
		t.Errorf("got %+v", src)
	}

	s.writer.Spec.Timeout = &metav1.Duration{Duration: 100000 * time.Minute}
	s.repo.Spec.Timeout = s.writer.Spec.Timeout
	got, err = s.flux(t).Origin(t.Context(), "develop", backend, nil, time.Time{})
	if err != nil || got.Source.Timeout != maxGitTimeout || got.Source.Push.Timeout != maxGitTimeout {
		t.Errorf("one fetch may take %s, one push %s, %v", got.Source.Timeout, got.Source.Push.Timeout, err)
	}
}

func TestPolicies(t *testing.T) {
	s := captured(t)
	fresh := s.policy.DeepCopy()
	fresh.Name, fresh.Status = "fresh", reflectorv1.ImagePolicyStatus{}
	digest := s.policy.DeepCopy()
	digest.Name, digest.Labels = "digest", map[string]string{"team": "b"}
	digest.Status.LatestRef.Digest, digest.Status.ObservedPreviousRef = "sha256:abc", nil
	// What the policy itself remembers comes before what the automation wrote.
	s.auto.Status.ObservedPolicies["backend"] = automationv1.ImageRef{Name: "localhost:5000/backend", Tag: "seen"}
	frontend := s.policy.DeepCopy()
	frontend.Name, frontend.Status.ObservedPreviousRef = "frontend", nil
	frontend.Status.LatestRef.Name, frontend.Status.LatestRef.Tag = "localhost:5000/frontend", "newer"
	foreign := s.policy.DeepCopy()
	foreign.Namespace = "other"
	// Of two automations that write a policy, the one that writes to the deployed branch counts.
	aside := s.auto.DeepCopy()
	aside.Name, aside.Spec.GitSpec.Push.Branch = "aside", "image-updates"
	later := aside.DeepCopy()
	later.Name = "later"
	selected := s.auto.DeepCopy()
	selected.Name, selected.Spec.PolicySelector = "team-b",
		&metav1.LabelSelector{MatchLabels: map[string]string{"team": "b"}}
	s.auto.Spec.PolicySelector = &metav1.LabelSelector{
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team",
			Operator: metav1.LabelSelectorOpDoesNotExist}},
	}
	s.more = append(s.more, fresh, digest, frontend, foreign, aside, later, selected)
	got, err := s.flux(t).Origin(t.Context(), "develop", backend, nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	all, teamB := ref("ImageUpdateAutomation", "develop", "develop"), ref("ImageUpdateAutomation", "develop", "team-b")
	want := []reconcile.ImagePolicy{
		{Name: "develop:backend", Latest: "localhost:5000/backend:develop-v1.1.0-1700000200",
			Previous: "localhost:5000/backend:develop-v1.0.0-1700000001", Automation: &all},
		{Name: "develop:digest", Latest: "localhost:5000/backend:develop-v1.1.0-1700000200@sha256:abc",
			Automation: &teamB},
		{Name: "develop:fresh", Automation: &all},
		// What the automation wrote last stands in for what the policy no longer says.
		{Name: "develop:frontend", Latest: "localhost:5000/frontend:newer",
			Previous: "localhost:5000/frontend:develop-v1.1.0-1700000200", Automation: &all},
	}
	if diff := cmp.Diff(want, got.Policies); diff != "" {
		t.Error(diff)
	}
}

func TestPolicyThatNoAutomationWrites(t *testing.T) {
	s := captured(t)
	s.auto.Spec.PolicySelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "b"}}
	got, err := s.flux(t).Origin(t.Context(), "develop", backend, nil, time.Time{})
	if err != nil || len(got.Policies) != 1 || got.Policies[0].Automation != nil {
		t.Errorf("got %+v, %v", got.Policies, err)
	}
}
