package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/testenv"
)

// slow has the Kustomization wait for health for longer than any test does.
func slow(s *setup) {
	s.Fleet.Wait, s.Fleet.HealthTimeout = true, time.Hour
}

// optIn does what a namespace does that allows a fast-forward: its label, and its RoleBinding.
func (w *World) optIn(env string) {
	w.t.Helper()
	folder := filepath.Join(w.Env.Root, "deploy", "kustomize", "components", "fast-forward")
	for _, file := range []string{"role.yaml", "admission.yaml"} {
		text, err := os.ReadFile(filepath.Join(folder, file))
		w.must(err)
		w.must(w.Env.Apply(w.t.Context(), string(text)))
	}
	edit(w, &corev1.Namespace{}, "", w.Fleet.Namespace(env), func(ns *corev1.Namespace) {
		ns.Labels["backstop.dev/fast-forward"] = "enabled"
	})
	w.must(w.Client.Create(w.t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(env), Name: "backstop-fast-forward"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "backstop-fast-forward"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: testenv.Namespace, Name: testenv.ServiceAccount}},
	}))
}

func allowed(p *v1alpha1.RollbackPolicy) { p.Spec.FastForward = true }

// What keeps Flux for an hour is over in seconds, and nothing of it is left behind.
func TestFastForwardWhileFluxChecksTheBadRevision(t *testing.T) {
	t.Parallel()
	w := world(t, quick, slow)
	w.Settle()
	w.optIn(prod)
	w.auto(prod, allowed)
	startSidecar(t, w, "--fast-forward")
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	good := w.Fleet.Image("backend", fleet.Tag(prod, 0))
	r := w.ends(prod, bad, v1alpha1.ResultVerified, "runs "+good)
	if len(r.Status.FastForward) != 1 {
		t.Fatalf("set ahead of Flux: %+v", r.Status.FastForward)
	}
	f := r.Status.FastForward[0]
	if f.Result != v1alpha1.FastForwardApplied || f.From != bad || f.To != good || f.Container != "backend" ||
		f.Workload.Name != "backend" || !strings.HasSuffix(f.Revision, r.Status.Suspect.Commit) {
		t.Errorf("recorded %+v", f)
	}
	if !r.Status.FalselyGreen(f.Revision) || !strings.Contains(r.Status.Outcome.Message, "set ahead of Flux, which reported main@") {
		t.Errorf("that Flux reported the bad commit green is not said: %s", r.Status.Outcome.Message)
	}
	if wait := f.At.Sub(r.Status.Landed.At.Time); wait < 3*time.Second {
		t.Errorf("it was set %s after the revert landed, while Flux could still apply it", wait)
	}
	var all v1alpha1.RollbackList
	w.must(w.Client.List(t.Context(), &all, client.InNamespace(w.Fleet.Namespace(prod))))
	if len(all.Items) != 1 {
		t.Errorf("it was taken for something else too: %+v", all.Items)
	}
	// A newer image takes the field over, and no other owner is left.
	newer := w.Fleet.Image("backend", fleet.Tag(prod, 2))
	w.Publish("backend", fleet.Tag(prod, 2))
	w.runsImage(prod, "backend", newer)
	if owners := w.imageOwners(prod, "backend"); strings.Contains(owners, "backstop") {
		t.Errorf("the image is owned by %s", owners)
	}
}

// Each of these leaves the workload to Flux, and explains why.
func TestFastForwardIsRefusedWithItsSentence(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flags []string
		files func(w *World, text string) string
		want  string
	}{
		"without the component": {nil, nil, "components/fast-forward"},
		"reconcile is disabled": {[]string{"--fast-forward"}, func(_ *World, text string) string {
			return strings.Replace(text, "metadata:\n", "metadata:\n  annotations: {kustomize.toolkit.fluxcd.io/ssa: Merge}\n", 1)
		}, "ssa: Merge"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world(t, quick, slow, vary(func(w *World) {
				if file := w.Fleet.File(prod, "backend"); c.files != nil {
					w.Fleet.Files[file] = c.files(w, w.Fleet.Files[file])
				}
			}))
			w.Settle()
			w.optIn(prod)
			w.auto(prod, allowed)
			startSidecar(t, w, c.flags...)
			bad := w.publishBad("backend", fleet.Tag(prod, 1))
			r := w.until(prod, bad, "is refused", func(s *v1alpha1.RollbackStatus) bool { return len(s.FastForward) > 0 })
			f := r.Status.FastForward[0]
			if f.Result != v1alpha1.FastForwardRefused || !strings.Contains(f.Message, c.want) {
				t.Errorf("recorded %+v, want %q", f, c.want)
			}
			if live := w.LiveImage(prod, "backend"); live != bad {
				t.Errorf("the workload was set to %s", live)
			}
		})
	}
}
