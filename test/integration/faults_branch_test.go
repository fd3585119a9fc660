package integration

import (
	"fmt"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// twin is an environment that deploys what production's files say, as a second cluster on one repository does: it has a
// GitRepository and a Kustomization of its own, and no image automation.
const twin = "twin"

func makeTwin(w *World) {
	ns := w.Fleet.Namespace(twin)
	k := fleet.Get[*kustomizev1.Kustomization](w.Fleet, w.Fleet.FluxNamespace(), twin)
	k.Namespace, k.Spec.Path, k.Spec.TargetNamespace = ns, "./apps/"+prod, ns
	w.Fleet.Drop(func(o client.Object) bool {
		return o != k && o.GetNamespace() == ns // its automation, policies and image repositories
	})
	repo, secret := gitSource(w).DeepCopy(), gitSecret(w).DeepCopy()
	repo.Namespace, secret.Namespace = ns, ns
	w.Fleet.Objects = append(w.Fleet.Objects, repo, secret)
	for _, app := range w.Fleet.Apps {
		delete(w.Fleet.Files, w.Fleet.File(twin, app))
	}
}

func TestSecondClusterOnOneRepository(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) {
		s.Fleet.Environments = []string{prod, twin}
		s.Vary = makeTwin
	})
	w.grantSecrets(w.Fleet.Namespace(twin), fleet.SourceName)
	startSidecar(t, w, "--cluster=east", "--namespaces="+w.Fleet.FluxNamespace()+","+w.Fleet.Namespace(prod))
	startSidecar(t, w, "--cluster=west", "--namespaces="+w.Fleet.Namespace(twin))
	w.auto(prod)
	// A cluster without the ImagePolicy cannot know its selections: to it, every change is a person's.
	w.auto(twin, anyone)
	good := fleet.Tag(prod, 0)
	for _, env := range []string{prod, twin} {
		w.runs(env, "backend", good)
	}

	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	suspect := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	east := w.ends(prod, bad, v1alpha1.ResultVerified)
	west := w.ends(twin, bad, v1alpha1.ResultVerified)
	w.runs(prod, "backend", good)
	w.runs(twin, "backend", good)
	reverts, holds := w.trails("Revert", bad), w.trails("Hold", bad)
	if len(reverts) != 1 || len(holds) != 1 {
		t.Fatalf("two clusters made %d reverts and %d holds, want one of each", len(reverts), len(holds))
	}
	by := map[string]int{}
	for _, r := range []*v1alpha1.Rollback{east, west} {
		if r.Status.Suspect.Commit != suspect || r.Status.Change.Commit != reverts[0] || r.Status.Change.Hold != holds[0] {
			t.Errorf("%s/%s blames %s and has change %+v", r.Namespace, r.Name, r.Status.Suspect.Commit, r.Status.Change)
		}
		cluster, _, _ := strings.Cut(r.Status.Change.By, "/")
		by[cluster]++
	}
	if by[""] != 1 || by["east"]+by["west"] != 1 {
		t.Errorf("the changes are by %v, want one's own and one the other's", by)
	}

	// Only the cluster with the policy and the automation lifts; the other one notices.
	w.Publish("backend", fleet.Tag(prod, 2))
	w.wroteBack(prod, "backend", fleet.Tag(prod, 2))
	for _, env := range []string{prod, twin} {
		w.runs(env, "backend", fleet.Tag(prod, 2))
		w.until(env, bad, "is released", func(s *v1alpha1.RollbackStatus) bool { return s.Lifted != nil })
	}
	lifts := strings.Fields(w.git("log", "--format=%H", "--grep=Backstop-Kind: Lift", fleet.Branch))
	if len(lifts) != 1 || !strings.Contains(w.git("show", "-s", "--format=%B", lifts[0]), "Backstop-Rollback: east/") {
		t.Errorf("lifted by %s, want one lift of east's", lifts)
	}
}

func TestFreshInstallOnARepositoryWithEarlierReverts(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	w.Settle()
	w.auto(prod)
	// An earlier install reverted, and was taken away before Flux applied it.
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	w.fails(prod, bad, "no match for platform")
	k := fleet.Get[*kustomizev1.Kustomization](w.Fleet, w.Fleet.FluxNamespace(), prod)
	// A dependency that is not there keeps Flux from applying anything.
	depends := func(on ...meta.DependencyReference) {
		amend(w, k, func(k *kustomizev1.Kustomization) { k.Spec.DependsOn = on })
	}
	depends(meta.DependencyReference{Name: "nowhere"})
	earlier := startSidecar(t, w)
	w.waits(prod, bad, "waits for what it depends on")
	earlier.Kill()
	was := w.record(prod, bad)
	w.must(w.Client.Delete(t.Context(), was))

	// The new one has neither records nor mirrors. The pods still fail, and the branch explains why there is nothing to
	// do.
	s := startSidecar(t, w, "--budget=1/1h")
	r := w.waits(prod, bad, "waits for what it depends on")
	if r.UID == was.UID || r.Status.Change == nil || r.Status.Change.Commit != was.Status.Change.Commit {
		t.Errorf("the new record has change %+v, the branch has %+v", r.Status.Change, was.Status.Change)
	}
	depends()
	w.ends(prod, bad, v1alpha1.ResultVerified)
	w.revertedOnce(prod, "backend", bad, fleet.Tag(prod, 0))
	w.says(s, "the branch says that it was reverted")

	// What the earlier install did counts against the budget.
	next := w.publishBad("frontend", fleet.Tag(prod, 1))
	w.waits(prod, next, "a person decides", fmt.Sprintf("budget: 1 suspect commit was reverted on %s in the last 1h", fleet.Branch))
	if n := len(w.trails("Revert", next)); n != 0 {
		t.Errorf("%d reverts over the budget", n)
	}
	w.secretNowhere(s)
}
