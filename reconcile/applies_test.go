package reconcile

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// reconciler is a Flux object, and what is found in Git about it.
type reconciler struct {
	now   Reconciler
	found Blamed
	err   error
	asked int
	// unproved is why an undo by files is not proved; nil where it is.
	unproved error
	proved   int
}

func (r *reconciler) Undo(context.Context, Key, v1alpha1.Failure, v1alpha1.Suspect, *types.NamespacedName) (UndoProof, error) {
	return func(context.Context, fs.FS, fs.FS) ([]v1alpha1.ObjectRef, error) {
		r.proved++
		return []v1alpha1.ObjectRef{{Kind: "ConfigMap", Namespace: "prod", Name: "settings"}}, r.unproved
	}, nil
}

func (r *reconciler) Reconciler(context.Context, Key) (*Reconciler, error) {
	a := r.now
	return &a, nil
}

func (r *reconciler) Blame(context.Context, Key, v1alpha1.Failure, *types.NamespacedName) (Blamed, error) {
	r.asked++
	return r.found, r.err
}

func TestWhatFluxCannotApplyIsToldOnce(t *testing.T) {
	key := Key{Namespace: "flux-system", Subject: v1alpha1.Subject{APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization", Name: "apps"}}
	broken := PastCommit{Commit: "4be1c2d9a7f34be1c2d9a7f34be1c2d9a7f34be1", Subject: "Rename", Author: "Jane"}
	suspect := Blamed{Source: v1alpha1.ObjectRef{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}, Branch: "main",
		Suspect: &broken, ChangedBy: []PastCommit{broken}}
	for name, c := range map[string]struct {
		reason, message string
		found           Blamed
		err             error
		// mend is what becomes of it, after ten minutes.
		mend func(*reconciler)
		// told is the end before that, empty for none, and says is in it; ends is the end after.
		told, ends v1alpha1.Result
		says       string
		asks       bool
	}{
		"a commit is blamed, and somebody mends it": {reason: "BuildFailed", message: "yaml: line 6", found: suspect, asks: true,
			told: v1alpha1.ResultReportedOnly, says: "cannot be built since 4be1c2d9a7f3 (main)", ends: v1alpha1.ResultSuperseded,
			mend: func(r *reconciler) { r.now.Failed, r.now.Ready, r.now.LastApplied = nil, true, "main@sha1:3" }},
		"a later commit breaks it in the same way": {reason: "BuildFailed", message: "yaml: line 6", found: suspect, asks: true,
			told: v1alpha1.ResultReportedOnly, says: "since 4be1c2d9a7f3", ends: v1alpha1.ResultReportedOnly,
			mend: func(r *reconciler) { r.now.Revision, r.now.Failed.Message = "main@sha1:3", "yaml: line 7" }},
		"no commit can be blamed": {reason: "BuildFailed", message: "x", found: Blamed{Why: "it is built here without an error"}, asks: true,
			told: v1alpha1.ResultReportedOnly, says: "no commit is blamed: it is built here", ends: v1alpha1.ResultRecovered,
			mend: func(r *reconciler) { r.now.Failed, r.now.Ready = nil, true }},
		"Git refuses for good": {reason: "BuildFailed", message: "x", err: Refuse("the source is a Bucket"), asks: true,
			told: v1alpha1.ResultReportedOnly, says: "no commit is blamed: the source is a Bucket", ends: v1alpha1.ResultReportedOnly, mend: func(*reconciler) {}},
		"Git cannot be read for long": {reason: "BuildFailed", message: "x", err: errors.New("dial tcp: refused"), asks: true,
			told: "", ends: v1alpha1.ResultReportedOnly, says: "Git could not be read", mend: func(*reconciler) {}},
		"it need not be Git's fault": {reason: "ReconciliationFailed", message: `ConfigMap/a/b dry-run failed: failed calling webhook "x"`,
			told: v1alpha1.ResultReportedOnly, says: "an admission webhook does not answer; no commit is blamed", ends: v1alpha1.ResultReportedOnly, mend: func(*reconciler) {}},
		"it is deleted": {reason: "BuildFailed", message: "x", found: suspect, asks: true, told: v1alpha1.ResultReportedOnly, says: "since 4be1c2d9a7f3",
			ends: v1alpha1.ResultRecovered, mend: func(r *reconciler) { r.now.Gone, r.now.Failed = true, nil }},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			m.ns = key.Namespace
			r := &reconciler{found: c.found, err: c.err}
			r.now.Ref = v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}
			r.now.Revision, r.now.LastApplied = "main@sha1:2", "main@sha1:1"
			r.now.Failed = &Condition{Reason: c.reason, Message: c.message, At: m.now}
			e := m.engine("prod", Budget{})
			e.Applies = r
			pass := func(span time.Duration) *v1alpha1.Rollback {
				for end := m.now.Add(span); m.now.Before(end); m.now = m.now.Add(10 * time.Second) {
					if _, err := e.Walk(t.Context(), key); err != nil && c.err == nil {
						t.Fatal(err)
					}
				}
				if len(m.records) != 1 {
					t.Fatalf("%d records, want one\n%s", len(m.records), m.story())
				}
				for _, r := range m.records {
					return r
				}
				return nil
			}
			if got := pass(time.Minute); got.Status.Outcome != nil {
				t.Errorf("told within the grace period: %+v", got.Status.Outcome)
			}
			got := pass(5 * time.Minute)
			result := func() (out v1alpha1.Result) {
				if got.Status.Outcome != nil {
					out = got.Status.Outcome.Result
				}
				return out
			}
			if result() != c.told || (r.asked > 0) != c.asks {
				t.Errorf("ended %q, and Git was asked %d times; want %q", result(), r.asked, c.told)
			}
			if c.told != "" && !strings.Contains(got.Status.Outcome.Message, c.says) {
				t.Errorf("says %q, want %q in it", got.Status.Outcome.Message, c.says)
			}
			if s := got.Status.Suspect; (s != nil) != (c.found.Suspect != nil) || s != nil && (s.Commit != broken.Commit || s.Places == nil) {
				t.Errorf("suspect %+v", s)
			}
			c.mend(r)
			got = pass(20 * time.Minute)
			if result() != c.ends || c.told == "" && !strings.Contains(got.Status.Outcome.Message, c.says) {
				t.Errorf("ended %+v, want %s", got.Status.Outcome, c.ends)
			}
			if len(m.branch) != 1 {
				t.Errorf("Git was written to\n%s", m.story())
			}
		})
	}
}

// notBuilt is a Kustomization that cannot be built, and an engine that reads it.
func notBuilt() (*model, *reconciler, *Engine, Key) {
	m := newModel()
	key := Key{Namespace: "flux-system", Subject: v1alpha1.Subject{APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization", Name: "apps"}}
	r := &reconciler{now: Reconciler{Failed: &Condition{Reason: "BuildFailed", Message: "x", At: m.now}, LastApplied: "a"}}
	r.now.Ref = v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}
	e := m.engine("prod", Budget{})
	e.Applies = r
	return m, r, e, key
}

// A controller reports that it is at work before each try: what failed a moment ago is not over.
func TestWhatFluxTriesAgainIsNoRecovery(t *testing.T) {
	m, r, e, key := notBuilt()
	// It is opened, and before its failure is written down it is tried again.
	first := true
	e.Now = func() time.Time {
		r.now.Idle = len(m.records) == 1 && first
		return m.now
	}
	for i := range 60 {
		first = i < 3
		if _, err := e.Walk(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		m.now = m.now.Add(10 * time.Second)
	}
	if len(m.records) != 1 {
		t.Errorf("%d records, want one\n%s", len(m.records), m.story())
	}
	for _, rb := range m.records {
		if rb.Status.Outcome == nil || rb.Status.Outcome.Result != v1alpha1.ResultReportedOnly {
			t.Errorf("ended %+v\n%s", rb.Status.Outcome, m.story())
		}
	}
}

func TestASuspendedKustomizationIsNotTold(t *testing.T) {
	m, r, e, key := notBuilt()
	for i := range 60 {
		r.now.Idle = i > 3
		if _, err := e.Walk(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		m.now = m.now.Add(20 * time.Second)
	}
	if len(m.records) != 1 {
		t.Errorf("%d records, want the one of before it was suspended", len(m.records))
	}
	for _, rb := range m.records {
		if rb.Status.Outcome != nil || r.asked > 0 {
			t.Errorf("told while somebody is at work: %+v", rb.Status.Outcome)
		}
	}
}
