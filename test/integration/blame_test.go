package integration

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// What blame finds and what a revert leaves in Git, byte for byte.

// automationRests suspends an environment's automation, or lets it go on.
func (w *World) automationRests(env string, rests bool) {
	w.t.Helper()
	a := fleet.Get[*automationv1.ImageUpdateAutomation](w.Fleet, w.Fleet.Namespace(env), env)
	change(w, a, func(a *automationv1.ImageUpdateAutomation) { a.Spec.Suspend = rests })
}

// writtenAtOnce publishes images while automation rests, lets it go on when
// they are selected, and gives the one commit in which it writes them.
func (w *World) writtenAtOnce(env string, tags map[string]string, publish func()) string {
	w.t.Helper()
	w.automationRests(env, true)
	before := w.Tip()
	publish()
	for app, tag := range tags {
		w.selected(env, app, tag)
	}
	w.automationRests(env, false)
	return w.next(before)
}

// next waits for the commit that comes after another one and gives it.
func (w *World) next(before string) string {
	w.t.Helper()
	var commit string
	w.Until("a commit follows "+before[:12], func() error {
		commit, _, _ = strings.Cut(w.git("rev-list", "--reverse", "--first-parent", before+".."+fleet.Branch), "\n")
		if commit == "" {
			return fmt.Errorf("%s is the tip", before)
		}
		return nil
	})
	return commit
}

// changeMode gives a policy another mode.
func (w *World) changeMode(p *v1alpha1.RollbackPolicy, m v1alpha1.Mode) {
	w.t.Helper()
	change(w, p, func(p *v1alpha1.RollbackPolicy) { p.Spec.Triggers[0].Mode = m })
}

// blob is a file's content in a commit, as it is.
func (w *World) blob(commit, file string) string {
	w.t.Helper()
	out, err := exec.CommandContext(w.t.Context(), "git", "--git-dir="+w.Repo, "cat-file", "blob", commit+":"+file).Output()
	w.must(err)
	return string(out)
}

// changed are the files that a commit changes.
func (w *World) changed(commit string) []string {
	w.t.Helper()
	return strings.Fields(w.git("diff-tree", "--no-commit-id", "--name-only", "-r", commit+"^", commit))
}

var holdPrefix = regexp.MustCompile(`backstop:hold not=\S+ since=\S+Z (lift=Manual )?`)

// undone checks in Git what a Rollback changed: its revert changed these files
// to these contents and nothing else, and a hold on it wrote its prefix there and nothing else.
func (w *World) undone(r *v1alpha1.Rollback, want map[string]string) {
	w.t.Helper()
	s := r.Status
	if s.Change == nil {
		w.t.Fatalf("nothing was pushed: %+v", s)
	}
	if message := w.git("show", "-s", "--format=%B", s.Change.Commit); !strings.Contains(message, "This reverts commit "+s.Suspect.Commit) {
		w.t.Errorf("the revert does not name %s:\n%s", s.Suspect.Commit, message)
	}
	if got := w.changed(s.Change.Commit); len(got) != len(want) {
		w.t.Errorf("the revert changes %q", got)
	}
	for file, text := range want {
		if got := w.blob(s.Change.Commit, file); got != text {
			w.t.Errorf("%s is reverted to\n%q\nwant\n%q", file, got, text)
		}
		if s.Change.Hold == "" {
			continue
		}
		held := w.blob(s.Change.Hold, file)
		if holdPrefix.ReplaceAllString(held, "") != holdPrefix.ReplaceAllString(text, "") || len(held) <= len(text) {
			w.t.Errorf("%s is held as\n%q\nwant nothing but a prefix added to\n%q", file, held, text)
		}
	}
	if s.Change.Hold != "" && w.git("rev-parse", s.Change.Hold+"^") != s.Change.Commit {
		w.t.Errorf("the hold %s is not on top of the revert %s", s.Change.Hold, s.Change.Commit)
	}
}

// runsImage waits until the rollout of an image by a Deployment is complete.
func (w *World) runsImage(env, name, image string) {
	w.t.Helper()
	w.Until(env+"/"+name+" runs "+image, func() error {
		d := w.deployment(env, name)
		for _, c := range d.Spec.Template.Spec.Containers {
			if c.Image == image && d.Status.ObservedGeneration == d.Generation && d.Status.Replicas == *d.Spec.Replicas &&
				d.Status.UpdatedReplicas == *d.Spec.Replicas && d.Status.AvailableReplicas == *d.Spec.Replicas {
				return nil
			}
		}
		return fmt.Errorf("%+v, %+v", d.Spec.Template.Spec.Containers, d.Status)
	})
}

// apps gives the fleet other apps.
func apps(names ...string) func(*setup) {
	return func(s *setup) { s.Fleet.Apps = names }
}

// vary changes the fleet before it is written anywhere.
func vary(change func(*World)) func(*setup) {
	return func(s *setup) { s.Vary = change }
}

func TestManyImagesInTheCommit(t *testing.T) {
	t.Parallel()
	var both, third string
	w := world(t, quick, apps("backend", "frontend", "worker"), vary(func(w *World) {
		both, third = w.Fleet.File(prod, "backend"), w.Fleet.File(prod, "worker")
		w.Fleet.Files[both] += "---\n" + w.Fleet.Deployment(prod, "frontend")
		delete(w.Fleet.Files, w.Fleet.File(prod, "frontend"))
	}))
	startSidecar(t, w)
	w.auto(prod)
	w.Settle()
	good, newer := fleet.Tag(prod, 0), fleet.Tag(prod, 1)
	bad := w.Fleet.Image("backend", newer)
	suspect := w.writtenAtOnce(prod, map[string]string{"backend": newer, "frontend": newer, "worker": newer}, func() {
		w.publishBad("backend", newer)
		w.Publish("frontend", newer)
		w.Publish("worker", newer)
	})
	if got := w.changed(suspect); !slices.Equal(got, []string{both, third}) {
		t.Fatalf("the write-back changes %q", got)
	}
	r := w.ends(prod, bad, v1alpha1.ResultVerified)
	if s := r.Status.Suspect; s.Commit != suspect || s.Automation == nil || !s.OnlyImages || len(s.Places) != 1 {
		t.Errorf("suspect %+v", s)
	}
	others := []string{w.Fleet.Image("frontend", newer), w.Fleet.Image("worker", newer)}
	if got := slices.Sorted(slices.Values(r.Status.Suspect.OtherImages)); !slices.Equal(got, others) {
		t.Errorf("other images %q, want %q", got, others)
	}
	w.undone(r, map[string]string{both: strings.ReplaceAll(w.blob(suspect, both), bad, w.Fleet.Image("backend", good))})
	w.runs(prod, "backend", good)
	w.runs(prod, "frontend", newer)
	w.runs(prod, "worker", newer)
}

func TestFileEditedSinceByAPerson(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	policy := w.auto(prod, mode(v1alpha1.ModeApprove))
	w.Settle()
	file, good, newer := w.Fleet.File(prod, "backend"), fleet.Tag(prod, 0), fleet.Tag(prod, 1)
	bad := w.publishBad("backend", newer)
	suspect := w.wroteBack(prod, "backend", newer)
	w.waits(prod, bad, "the policy asks for an approval")
	edit, err := w.Alice.Change(t.Context(), file, "Two of them", func(text string) string {
		return "# Ask Alice.\n" + strings.Replace(text, "replicas: 1", "replicas:   2 # was one", 1)
	})
	w.must(err)
	w.changeMode(policy, v1alpha1.ModeAuto)
	r := w.ends(prod, bad, v1alpha1.ResultVerified)
	if r.Status.Suspect.Commit != suspect {
		t.Errorf("blamed %s, want %s", r.Status.Suspect.Commit, suspect)
	}
	w.undone(r, map[string]string{file: strings.ReplaceAll(w.blob(edit, file), newer, good)})
	w.runs(prod, "backend", good)
	if n := *w.deployment(prod, "backend").Spec.Replicas; n != 2 {
		t.Errorf("%d replicas, the person's edit is lost", n)
	}
}

func TestTwoWorkloadsOneImage(t *testing.T) {
	t.Parallel()
	twin := "apps/production/twin.yaml"
	w := world(t, quick, vary(func(w *World) {
		w.Fleet.Files[twin] = strings.NewReplacer("name: backend", "name: twin", "app: backend", "app: twin").
			Replace(w.Fleet.Deployment(prod, "backend"))
	}))
	startSidecar(t, w)
	w.auto(prod)
	w.Settle()
	file, good := w.Fleet.File(prod, "backend"), w.Fleet.Image("backend", fleet.Tag(prod, 0))
	w.runsImage(prod, "twin", good)
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	suspect := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	r := w.ends(prod, bad, v1alpha1.ResultVerified, "Deployment/backend", "Deployment/twin", "runs "+good)
	w.undone(r, map[string]string{file: w.blob(suspect+"^", file), twin: w.blob(suspect+"^", twin)})
	if len(r.Status.Suspect.Places) != 2 {
		t.Errorf("nodes %+v", r.Status.Suspect.Places)
	}
	w.runsImage(prod, "backend", good)
	w.runsImage(prod, "twin", good)
	var all v1alpha1.RollbackList
	w.must(w.Client.List(t.Context(), &all))
	mine := slices.DeleteFunc(all.Items, func(r v1alpha1.Rollback) bool { return r.Namespace != w.Fleet.Namespace(prod) })
	if len(mine) != 1 {
		t.Errorf("%d Rollbacks, want one for both", len(mine))
	}
}

func TestTwoContainersFailingFromOneCommit(t *testing.T) {
	t.Parallel()
	var file string
	w := world(t, quick, vary(func(w *World) {
		file = w.Fleet.File(prod, "backend")
		w.Fleet.Files[file] += fmt.Sprintf("        - name: frontend\n          image: %s %s\n",
			w.Fleet.Image("frontend", fleet.Tag(prod, 0)), w.Fleet.Marker(prod, "frontend", ""))
		delete(w.Fleet.Files, w.Fleet.File(prod, "frontend"))
	}))
	// Two Rollbacks of one suspect spend the budget once, and do not cool each other down.
	startSidecar(t, w, "--budget=1/1h")
	w.auto(prod)
	good, newer := fleet.Tag(prod, 0), fleet.Tag(prod, 1)
	w.runs(prod, "backend", good)
	suspect := w.writtenAtOnce(prod, map[string]string{"backend": newer, "frontend": newer}, func() {
		w.publishBad("backend", newer)
		w.publishBad("frontend", newer)
	})
	for _, app := range []string{"backend", "frontend"} {
		r := w.ends(prod, w.Fleet.Image(app, newer), v1alpha1.ResultVerified, "Deployment/backend runs "+w.Fleet.Image(app, good))
		if r.Status.Suspect.Commit != suspect {
			t.Errorf("blamed %s for %s, want %s", r.Status.Suspect.Commit, app, suspect)
		}
	}
	w.runs(prod, "backend", good)
	w.runsImage(prod, "backend", w.Fleet.Image("frontend", good))
	text := w.blob(fleet.Branch, file)
	if got, want := holdPrefix.ReplaceAllString(text, ""), w.blob(suspect+"^", file); got != want {
		t.Errorf("the file ends as\n%s\nwant but for the holds\n%s", text, want)
	}
	if n := len(holdPrefix.FindAllString(text, -1)); n != 2 {
		t.Errorf("%d holds, want two:\n%s", n, text)
	}
}

func TestTwoBadImagesInARow(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	policy := w.auto(prod, mode(v1alpha1.ModeApprove))
	w.Settle()
	file, good := w.Fleet.File(prod, "backend"), w.Fleet.Image("backend", fleet.Tag(prod, 0))
	first := w.publishBad("backend", fleet.Tag(prod, 1))
	w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	w.waits(prod, first, "the policy asks for an approval")
	second := w.publishBad("backend", fleet.Tag(prod, 2))
	suspect := w.wroteBack(prod, "backend", fleet.Tag(prod, 2))
	w.waits(prod, second, "the policy asks for an approval")
	w.ends(prod, first, v1alpha1.ResultSuperseded, "no longer says "+first)
	w.changeMode(policy, v1alpha1.ModeAuto)
	r := w.ends(prod, second, v1alpha1.ResultVerified, "runs "+good)
	// The value before the second bad image is the first: neither is gone back to.
	if n := r.Status.Suspect.Places[0]; n.Former != first || r.Status.Suspect.Commit != suspect {
		t.Errorf("suspect %+v", r.Status.Suspect)
	}
	w.undone(r, map[string]string{file: strings.ReplaceAll(w.blob(suspect, file), second, good)})
	w.runsImage(prod, "backend", good)
}
