package integration

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// heldBackend is a world in which the backend's second image was reverted and is held.
func heldBackend(t *testing.T, w *World, changes ...func(*v1alpha1.RollbackPolicy)) *v1alpha1.Rollback {
	t.Helper()
	w.auto(prod, changes...)
	w.Settle()
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	r := w.ends(prod, bad, v1alpha1.ResultVerified)
	if !w.isHeld("backend", fleet.Tag(prod, 1)) || w.Tip() != r.Status.Change.Hold {
		t.Fatalf("the hold is not at the tip:\n%s", w.File(w.Fleet.File(prod, "backend")))
	}
	return r
}

// isHeld reports whether Git holds an app's marker against a tag.
func (w *World) isHeld(app, tag string) bool {
	return strings.Contains(w.File(w.Fleet.File(prod, app)), "# backstop:hold not="+tag+" since=")
}

// released waits for the newest Rollback of an image to say by whom its hold was lifted.
func (w *World) released(image, by string) *v1alpha1.Rollback {
	w.t.Helper()
	return w.until(prod, image, "says that the hold was lifted by "+by, func(s *v1alpha1.RollbackStatus) bool {
		return s.Lifted != nil && strings.Contains(s.Lifted.By, by)
	})
}

// backstop runs the command as the administrator, and gives what it prints.
func (w *World) backstop(args ...string) string {
	w.t.Helper()
	args = append(args, "--kubeconfig="+w.Env.Kubeconfig, "--namespace="+w.Fleet.Namespace(prod))
	out, err := exec.CommandContext(w.t.Context(), buildCommands(w.t, w.Env), args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("backstop %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// lifted checks the commit by which a hold was lifted: Backstop's own, which leaves the marker as it was.
func (w *World) lifted(r *v1alpha1.Rollback, image string) {
	w.t.Helper()
	lift := r.Status.Lifted.Commit
	if lift == "" || r.Status.Lifted.Image != image {
		w.t.Fatalf("the release is %+v, want a commit and %s", r.Status.Lifted, image)
	}
	said := w.git("show", "-s", "--format=%B", lift)
	for _, line := range []string{"Backstop-Kind: Lift", "Backstop-Policy: " + w.Fleet.Namespace(prod) + ":backend", "Backstop-Image: " + image} {
		if !strings.Contains(said, line) {
			w.t.Errorf("the lift does not say %q:\n%s", line, said)
		}
	}
	// What the hold added is gone, and nothing else is different.
	if diff := w.git("diff", r.Status.Change.Commit, lift, "--", w.Fleet.File(prod, "backend")); diff != "" {
		w.t.Errorf("revert and lift differ:\n%s", diff)
	}
}

func TestAutomationRunningEverySecondFor60Runs(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) { s.Fleet.Interval = time.Second })
	startSidecar(t, w)
	r := heldBackend(t, w)
	w.automationRan(prod, 60)
	if tip := w.Tip(); tip != r.Status.Change.Hold {
		t.Errorf("after 60 runs the tip is %s, want the hold %s", tip, r.Status.Change.Hold)
	}
	// It is the hold that keeps automation off, not that it would have nothing to write.
	a := Object(w, fleet.Get[*automationv1.ImageUpdateAutomation](w.Fleet, w.Fleet.Namespace(prod), prod))
	if got := a.Status.ObservedPolicies["backend"].Tag; got != fleet.Tag(prod, 1) {
		t.Errorf("selected is %s, want the bad %s", got, fleet.Tag(prod, 1))
	}
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	if now := w.record(prod, r.Spec.Subject.Name); now.Name != r.Name || now.Status.Lifted != nil {
		t.Errorf("the Rollback went on: %+v", now.Status)
	}
}

func TestNewerImageLifts(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	r := heldBackend(t, w)
	if got := w.backstop("get", "holds"); !strings.Contains(got, fleet.Tag(prod, 1)) || !strings.Contains(got, "a newer image") {
		t.Errorf("get holds says\n%s", got)
	}
	newer := fleet.Tag(prod, 2)
	w.Publish("backend", newer)
	w.wroteBack(prod, "backend", newer)
	w.runs(prod, "backend", newer)
	w.lifted(w.released(r.Spec.Subject.Name, "the policy's newer image "+w.Fleet.Image("backend", newer)), w.Fleet.Image("backend", newer))
	if got := w.backstop("get", "holds"); !strings.HasPrefix(got, "Nothing found") {
		t.Errorf("get holds still says\n%s", got)
	}
}

func TestNewerImageThatCannotRunDoesNotLift(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	r := heldBackend(t, w)
	newer := w.publishBad("backend", fleet.Tag(prod, 2))
	w.selected(prod, "backend", fleet.Tag(prod, 2))
	w.waits(prod, r.Spec.Subject.Name, "the hold stands: the policy selects "+newer+", which is not proved to run here", "linux/amd64")
	w.automationRan(prod, 3)
	if tip := w.Tip(); tip != r.Status.Change.Hold {
		t.Errorf("the tip is %s, want the hold %s", tip, r.Status.Change.Hold)
	}
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	// The next one can.
	w.Publish("backend", fleet.Tag(prod, 3))
	w.released(r.Spec.Subject.Name, fleet.Tag(prod, 3))
	w.runs(prod, "backend", fleet.Tag(prod, 3))
}

// breakAfterTheLift has an image selected that is whole when the hold is lifted for it, and lacks a layer when the
// nodes pull it. Flux is suspended in between.
func (w *World) breakAfterTheLift(held string, n int) *v1alpha1.Rollback {
	w.t.Helper()
	tag := fleet.Tag(prod, n)
	k := fleet.Get[*kustomizev1.Kustomization](w.Fleet, w.Fleet.FluxNamespace(), prod)
	change(w, k, func(k *kustomizev1.Kustomization) { k.Spec.Suspend = true })
	w.Publish("backend", tag)
	w.released(held, tag)
	w.wroteBack(prod, "backend", tag)
	blobs, err := w.Registry.Blobs("backend", tag)
	w.must(err)
	for _, b := range blobs {
		w.must(w.Registry.DeleteBlob("backend", b))
	}
	change(w, k, func(k *kustomizev1.Kustomization) { k.Spec.Suspend = false })
	r := w.ends(prod, w.Fleet.Image("backend", tag), v1alpha1.ResultVerified)
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	return r
}

func TestSecondFailedLiftMakesItManual(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w, "--budget=10/1h")
	first := heldBackend(t, w, func(p *v1alpha1.RollbackPolicy) { p.Spec.Cooldown = metav1.Duration{} })
	second := w.breakAfterTheLift(first.Spec.Subject.Name, 2)
	if second.Status.Change.Lift != v1alpha1.LiftNewerImage {
		t.Errorf("after one failed lift the hold is lifted by %s", second.Status.Change.Lift)
	}
	third := w.breakAfterTheLift(second.Spec.Subject.Name, 3)
	const says = "two newer images in a row had to be reverted, so the next one waits for backstop lift"
	if c := third.Status.Change; c.Lift != v1alpha1.LiftManual || !strings.Contains(third.Status.Outcome.Message, says) {
		t.Errorf("after two failed lifts the hold is lifted by %s, and the outcome says %q", c.Lift, third.Status.Outcome.Message)
	}
	if text := w.File(w.Fleet.File(prod, "backend")); !strings.Contains(text, " lift=Manual {") {
		t.Errorf("the hold in Git does not say Manual:\n%s", text)
	}
	if got := w.backstop("get", "holds"); !strings.Contains(got, "backstop lift") {
		t.Errorf("get holds says\n%s", got)
	}
	// A third image is fine, and waits.
	w.Publish("backend", fleet.Tag(prod, 4))
	w.selected(prod, "backend", fleet.Tag(prod, 4))
	w.waits(prod, third.Spec.Subject.Name, "the hold waits for backstop lift")
	w.automationRan(prod, 3)
	if tip := w.Tip(); tip != third.Status.Change.Hold {
		t.Errorf("the tip is %s, want the hold %s", tip, third.Status.Change.Hold)
	}
	w.backstop("lift", third.Name)
	w.runs(prod, "backend", fleet.Tag(prod, 4))
}

func TestPolicyFallsBackToAnOlderTag(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.auto(prod)
	w.Settle()
	for _, app := range w.Fleet.Apps {
		w.Publish(app, fleet.Tag(prod, 1))
		w.runs(prod, app, fleet.Tag(prod, 1))
	}
	var bad []string
	for _, app := range w.Fleet.Apps {
		bad = append(bad, w.publishBad(app, fleet.Tag(prod, 2)))
	}
	for i := range w.Fleet.Apps {
		w.ends(prod, bad[i], v1alpha1.ResultVerified)
	}
	// The backend's bad tag is reverted: what is left is what the node holds, so that nothing is written.
	w.must(w.Registry.DeleteTag("backend", fleet.Tag(prod, 2)))
	w.lifted(w.released(bad[0], fleet.Tag(prod, 1)), w.Fleet.Image("backend", fleet.Tag(prod, 1)))
	// The frontend loses what it runs too.
	w.must(w.Registry.DeleteTag("frontend", fleet.Tag(prod, 2)))
	w.must(w.Registry.DeleteTag("frontend", fleet.Tag(prod, 1)))
	w.released(bad[1], fleet.Tag(prod, 0))
	w.wroteBack(prod, "frontend", fleet.Tag(prod, 0))
	w.runs(prod, "frontend", fleet.Tag(prod, 0))
	w.automationRan(prod, 3)
	w.runs(prod, "backend", fleet.Tag(prod, 1))
	for _, app := range w.Fleet.Apps {
		if w.isHeld(app, fleet.Tag(prod, 2)) {
			t.Errorf("%s is still held:\n%s", app, w.File(w.Fleet.File(prod, app)))
		}
	}
}

// lost pushes a commit by force: what came after it is on the branch no more.
func (w *World) lost(commit string) {
	w.t.Helper()
	_, err := w.Alice.Git(w.t.Context(), "push", "--quiet", "--force", "origin", commit+":refs/heads/"+fleet.Branch)
	w.must(err)
}

func TestRevertLostToAForcePushIsLandedAgain(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.auto(prod, mode(v1alpha1.ModeApprove))
	w.Settle()
	k := fleet.Get[*kustomizev1.Kustomization](w.Fleet, w.Fleet.FluxNamespace(), prod)
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	suspect := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	w.fails(prod, "no match for platform")
	// Somebody is at work, which a person who approves knows. So the revert cannot be verified yet.
	change(w, k, func(k *kustomizev1.Kustomization) { k.Spec.Suspend = true })
	w.waits(prod, bad, "a person decides", "Flux applies nothing before somebody resumes Kustomization/"+w.Fleet.FluxNamespace()+"/"+prod)
	w.answers(prod, bad, v1alpha1.Approve)
	r := w.waits(prod, bad, "is suspended and applies nothing: flux -n "+w.Fleet.FluxNamespace()+" resume kustomization "+prod)
	w.must(w.Alice.Pull(t.Context()))
	w.lost(suspect)
	again := w.until(prod, bad, "is landed again", func(s *v1alpha1.RollbackStatus) bool { return s.Landed != nil && s.Landed.Again == 1 })
	if again.Status.Change.Commit != r.Status.Change.Commit || again.Status.Landed.Commit == r.Status.Change.Commit {
		t.Errorf("the change is %+v and landed %+v", again.Status.Change, again.Status.Landed)
	}
	if parent := w.git("rev-parse", again.Status.Landed.Commit+"^"); parent != suspect || !w.isHeld("backend", fleet.Tag(prod, 1)) {
		t.Errorf("landed again on %s, want %s, and held:\n%s", parent, suspect, w.File(w.Fleet.File(prod, "backend")))
	}
	change(w, k, func(k *kustomizev1.Kustomization) { k.Spec.Suspend = false })
	w.ends(prod, bad, v1alpha1.ResultVerified, "runs "+w.Fleet.Image("backend", fleet.Tag(prod, 0)))
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	if n := w.git("rev-list", "--count", suspect+".."+fleet.Branch); n != "2" {
		t.Errorf("%s commits are on top of the suspect, want a revert and a hold", n)
	}
}
