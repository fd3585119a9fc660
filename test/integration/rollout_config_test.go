package integration

import (
	"slices"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/node"
)

// New revisions that their configuration keeps from becoming ready: scenarios of TestRollouts.

// What changed the configuration too is not called the image's fault: the Rollback is about the workload, and both go
// back when a person says so.
func configToo(t *testing.T, w *World) {
	const env = "config"
	bad := w.publishThat("backend", "config-2", node.Behaviour{Exit: 1})
	file, settings := w.Fleet.File(env, "backend"), "apps/config/settings.env"
	suspect := w.writes("A new image and a new mode", map[string]func(string) string{
		file:     func(s string) string { return strings.Replace(s, w.Fleet.Image("backend", fleet.Tag(env, 0)), bad, 1) },
		settings: func(string) string { return "mode=slow\n" },
	})
	r := w.goesBack(env, suspect, file, settings)
	if f := r.Status.Failures[0]; f.Cause != v1alpha1.CauseCrashed || len(f.Rollout.Changed) < 2 {
		t.Errorf("%s: %+v", f.Cause, f.Rollout.Changed)
	}
	if r := w.record(env, bad); r != nil {
		t.Errorf("a Rollback of the image was opened: %+v", r.Status.Failures)
	}
	w.runs(env, "backend", fleet.Tag(env, 0))
}

// A ConfigMap lacks the key that the containers of two workloads read. One answer makes both run again.
func configAlone(t *testing.T, w *World) {
	const settings = "apps/configmap/settings.env"
	suspect := w.writes("Rename the mode", map[string]func(string) string{settings: func(string) string { return "speed=slow\n" }})
	w.until("configmap", "worker", "asks too", func(s *v1alpha1.RollbackStatus) bool { return s.Question != nil && s.Suspect.Commit == suspect })
	r := w.goesBack("configmap", suspect, settings)
	if f := r.Status.Failures[0]; f.Cause != v1alpha1.CauseConfigMissing {
		t.Errorf("%s: %s", f.Cause, f.Message)
	}
	other := w.until("configmap", "worker", "ends", func(s *v1alpha1.RollbackStatus) bool { return s.Ended() })
	if o := other.Status.Outcome; o.Result != v1alpha1.ResultVerified && o.Result != v1alpha1.ResultRecovered {
		t.Errorf("the other ended %s: %s", o.Result, o.Message)
	}
	if other.Status.Change != nil && other.Status.Change.Commit != r.Status.Change.Commit {
		t.Errorf("it was reverted twice: %+v and %+v", r.Status.Change, other.Status.Change)
	}
}

// writes makes one commit of several files.
func (w *World) writes(message string, edits map[string]func(string) string) string {
	w.t.Helper()
	commit := ""
	w.Until("somebody pushes: "+message, func() error {
		w.must(w.Alice.Pull(w.t.Context()))
		files := map[string]string{}
		for file, edit := range edits {
			files[file] = edit(w.blob(w.Tip(), file))
		}
		w.must(w.Alice.Write(files))
		var err error
		commit, err = w.Alice.Push(w.t.Context(), message)
		return err
	})
	return commit
}

// goesBack waits for the Rollback of an environment's backend itself, approves it, and waits until what a commit
// changed in these files is what it was.
func (w *World) goesBack(env, suspect string, files ...string) *v1alpha1.Rollback {
	w.t.Helper()
	r := w.until(env, "backend", "asks about the configuration", func(s *v1alpha1.RollbackStatus) bool { return s.Question != nil })
	s := r.Status
	if r.Spec.Subject.Kind != "Deployment" || r.Spec.OpenedFor != v1alpha1.TriggerRollout || s.Suspect.Commit != suspect ||
		s.Suspect.Reconciler.Kind != "Kustomization" || !slices.Contains(doubtTypes(r), v1alpha1.DoubtPolicyAsks) {
		w.t.Errorf("about %s, blamed %+v, asks because of %v", r.Spec.Subject, s.Suspect, doubtTypes(r))
	}
	w.answers(env, "backend", v1alpha1.Approve)
	r = w.ends(env, "backend", v1alpha1.ResultVerified, "without what "+suspect[:12]+" changed")
	// One push may revert what others asked for at the same time.
	got := w.changed(r.Status.Change.Commit)
	for _, file := range files {
		if !slices.Contains(got, file) {
			w.t.Errorf("the revert changes %q, want %s", got, file)
		}
		if now, was := w.blob(w.Tip(), file), w.blob(suspect+"~", file); now != was {
			w.t.Errorf("%s is left as\n%s", file, now)
		}
	}
	return r
}
