package reconcile

import (
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// World is all that decide may look at. It is gathered before every step, live but for what a glance keeps.
type World struct {
	// Now is the time.
	Now time.Time
	// Self is CLUSTER/NAMESPACE/NAME of the form, as Backstop's trailers name it.
	Self string
	// Cluster is the cluster's UID; empty where it cannot be read.
	Cluster string
	// Form is the Rollback, and known what the API server has of it; nil where that is the same.
	Form  v1alpha1.Rollback
	known *v1alpha1.Rollback
	// Triggers are the rows that look at the record.
	Triggers []Trigger
	// Seen is what each of them sees now.
	Seen map[v1alpha1.TriggerType]Observation
	// RanHere says that the subject's image ran here before; empty where nothing says so.
	RanHere string
	// Policy is what may be done; the zero value allows nothing. Policies are the same for each trigger alone.
	Policy   Policy
	Policies map[v1alpha1.TriggerType]Policy
	// Budget of the branch.
	Budget Budget
	// ReadOnly says why Backstop may not push to the branch; empty when it may, or before that is known.
	ReadOnly string
	// ReadOnlyKind is its kind of fault: one that heals is waited for.
	ReadOnlyKind FaultKind
	// Unread is what keeps the source or its branch from being read for now, where that heals; nil where nothing does.
	Unread *Refusal
	// Suspended are objects that keep Flux from applying what is pushed.
	Suspended []v1alpha1.ObjectRef
	// Remediated is what Helm did by itself about what Git says; nil where nothing, or before that is known.
	Remediated *v1alpha1.Remediation
	// PullRequest is the form's as its provider has it now; nil where it has none, or it cannot be read. NoPullRequest
	// says why not then.
	PullRequest       *PullRequest
	NoPullRequest     string
	NoPullRequestKind FaultKind
	// Lifting is the pull request that lifts the hold, as its provider has it now; nil where there is none, or it cannot
	// be read.
	Lifting *PullRequest
	// Shared says that other open Rollbacks wait for the same pull request, and Others why it must not be merged yet for
	// the sake of one of them; empty where nothing is against it.
	Shared bool
	Others string
	// Elsewhere are reverts that came by pull request, as the records tell: a squash leaves no trailers on the branch.
	Elsewhere []Trail
	// Branch is the tip and Backstop's trailers on it; nil until looked at.
	Branch *Branch
	// Rollout is how far the target got; nil until asked.
	Rollout *Rollout
	// Selection is what the held policy selects; nil until asked.
	Selection *Selection
	// Breaker says why nothing of this registry can be proved at all; empty while it is closed.
	Breaker string
	// Beside is the name of another open Rollback about one of the form's workloads whose revert has not landed; empty
	// where there is none.
	Beside string
	// Crowd are others whose reverts may share the push of an allowed one.
	Crowd crowd
	// Ahead is what a fast-forward goes by; nil until the landed revert is there to be applied, and where none is wanted.
	Ahead *Ahead
	// Unstick says that Backstop may delete pods that keep an ordered rollout from moving on.
	Unstick bool
	// labels of the form's namespace, as the policies were read with.
	labels map[string]string
	// former is the ended form before one that is to be opened; nil where there is none.
	former *v1alpha1.Rollback
	// since is how old what was read for others may be.
	since time.Time
}

// Selection is what image automation would write if the hold were lifted.
type Selection struct {
	// Automation is false when this cluster has not both the policy and the automation: then another cluster lifts.
	Automation bool
	// Image selected now, name:tag[@digest].
	Image string
	// Proof that it exists, for the platforms.
	Proof Proof
	// Failed are the images that were taken back from the nodes under this policy.
	Failed []string
	// Release is what the hold in Git says lifts it; it may be stricter than the policy.
	Release v1alpha1.ReleaseMode
}

// Effect names what a Step does. Each fills one blank.
type Effect string

// The effects.
const (
	// DoWait does nothing until Step.Wait has passed or something wakes the key; zero waits for a wake.
	DoWait Effect = "Wait"
	// DoFailures merges what the pods say into the form.
	DoFailures Effect = "Failures"
	// DoSuspect finds the commit that brought the image in.
	DoSuspect Effect = "Suspect"
	// DoTarget proves what failed and what to go back to.
	DoTarget Effect = "Target"
	// DoReport tells what Flux cannot apply, with the commit that is to blame where one is found, and ends the form.
	DoReport Effect = "Report"
	// DoVerdict writes Step.Verdict.
	DoVerdict Effect = "Verdict"
	// DoLapse takes a verdict back that was forbidden for too long.
	DoLapse Effect = "Lapse"
	// DoChange pushes the revert and the hold.
	DoChange Effect = "Change"
	// DoAdopt fills change from a trail that stands on the branch already.
	DoAdopt Effect = "Adopt"
	// DoPullRequest opens a pull request, and writes down what is seen of it.
	DoPullRequest Effect = "PullRequest"
	// DoMerge has the provider merge the pull request, now or once it may.
	DoMerge Effect = "Merge"
	// DoDisarm takes back that the provider merges the pull request by itself.
	DoDisarm Effect = "Disarm"
	// DoClose closes the pull request of a form that has ended.
	DoClose Effect = "Close"
	// DoMerged fills change with what a pull request brought to the branch.
	DoMerged Effect = "Merged"
	// DoLanded writes the commit that holds the target.
	DoLanded Effect = "Landed"
	// DoLandAgain pushes a revert that a force push lost.
	DoLandAgain Effect = "LandAgain"
	// DoRequest asks one object of Flux for a reconcile, and writes down who was asked.
	DoRequest Effect = "Request"
	// DoForward sets the images of one workload to what Git says ahead of Flux, or writes down why not.
	DoForward Effect = "Forward"
	// DoDisown takes the mark of a fast-forward off a workload.
	DoDisown Effect = "Disown"
	// DoUnstick deletes a pod that keeps an ordered rollout from moving on.
	DoUnstick Effect = "Unstick"
	// DoOutcome writes Step.Outcome.
	DoOutcome Effect = "Outcome"
	// DoLift takes the hold away.
	DoLift Effect = "Lift"
	// DoReleased writes that somebody else took the hold away.
	DoReleased Effect = "Released"
)

// Step is what to do next, and why.
type Step struct {
	Do Effect
	// Wait is how long to wait at most; zero until something wakes the key.
	Wait time.Duration
	// Until is when a grace period ends or the form gives up, with DoWait; zero where it does not, or when Wait is over.
	Until time.Time
	// Why in a sentence, shown in the status while waiting.
	Why string
	// Brief says that the wait is over within seconds, so that the status does not tell of it.
	Brief bool
	// Barred says what forbids what was allowed before, with DoWait; empty where nothing does.
	Barred v1alpha1.Bar
	// Refused is the fault that is waited for, with DoWait; empty where none is.
	Refused FaultKind
	// Question to people, with DoWait and with the outcome Expired; nil when they are not asked.
	Question *v1alpha1.Question
	// Verdict to write with DoVerdict.
	Verdict v1alpha1.Verdict
	// Outcome to write with DoOutcome.
	Outcome v1alpha1.Outcome
	// Trail to adopt with DoAdopt.
	Trail Trail
	// Ask is whom to ask with DoRequest; nil for nobody yet.
	Ask *Stop
	// Forward is what to do with DoForward.
	Forward *Forward
	// Pod to delete with DoUnstick.
	Pod string
	// By whom a hold is lifted, with DoLift and DoReleased.
	By string
}

// standing is what the tip says of the suspect's nodes.
type standing struct {
	bad, target, other, held int
}

// stand counts the suspect's nodes at the tip.
func stand(s *v1alpha1.RollbackStatus, b *Branch) standing {
	var out standing
	for i, n := range s.Suspect.Nodes {
		v, there := b.Values[int32(i)]
		switch {
		case there && v == n.Bad:
			out.bad++
		case s.Target != nil && (there && targetValue(s.Target, int32(i)) == v || !there && removes(s.Target, int32(i))):
			out.target++
		default:
			out.other++
		}
		if _, held := b.Held[int32(i)]; held {
			out.held++
		}
	}
	return out
}

// removes says whether the target is that the node is not there.
func removes(t *v1alpha1.Target, index int32) bool {
	return slices.ContainsFunc(t.Values, func(v v1alpha1.NodeValue) bool { return v.Index == index && v.Remove })
}

func targetValue(t *v1alpha1.Target, index int32) string {
	for _, v := range t.Values {
		if v.Index == index && !v.Remove {
			return v.Value
		}
	}
	return "\x00no value"
}

// trailOf finds the revert that already serves the form: its own, or a sibling's of the same suspect and image that
// wrote the form's own places.
func trailOf(w *World) (Trail, bool) {
	if w.Branch == nil || w.Form.Status.Suspect == nil {
		return Trail{}, false
	}
	for _, t := range w.Branch.Trails {
		if ownTrail(w, t) {
			return t, true
		}
	}
	for _, t := range w.Branch.Trails {
		if siblingTrail(w, t) && serves(w, t) {
			return t, true
		}
	}
	return Trail{}, false
}

// ownTrail says whether the form itself made a revert. Clusters of one name are told apart by their UID.
func ownTrail(w *World, t Trail) bool {
	return t.Kind == TrailRevert && slices.Contains(t.Rollbacks, w.Self) && sameCluster(w.Cluster, t)
}

// sameCluster is true where either side does not know its cluster's UID.
func sameCluster(uid string, t Trail) bool { return uid == "" || t.Cluster == "" || uid == t.Cluster }

// siblingTrail says whether a revert took back the same image from the same suspect, or anything of it where files go
// back: which of them its places tell.
func siblingTrail(w *World, t Trail) bool {
	s := w.Form.Status.Suspect
	return t.Kind == TrailRevert && slices.Contains(t.Reverts, s.Commit) &&
		(s.ByFiles() || slices.Contains(t.Images, w.Form.Spec.Subject.Name))
}

// serves says whether a sibling's revert took back all of the form's places that hold the bad value, and at least one
// of its places. One that names no places serves only where none holds the bad value and the target is there.
func serves(w *World, t Trail) bool {
	s := &w.Form.Status
	if len(t.Places) == 0 {
		st := stand(s, w.Branch)
		return st.bad == 0 && (s.Target == nil || len(s.Target.Values) == 0 || st.target > 0)
	}
	wrote := false
	for i, n := range s.Suspect.Nodes {
		in := slices.Contains(t.Places, PlaceID(n.File, n.Pointer))
		if !in && w.Branch.Values[int32(i)] == n.Bad {
			return false
		}
		wrote = wrote || in
	}
	return wrote
}

// stands says whether the revert that the form knows is on the branch still: the commit itself, or one like it that
// somebody moved.
func stands(w *World) bool {
	if _, ok := trailOf(w); ok {
		return true
	}
	s := &w.Form.Status
	return slices.ContainsFunc(w.Branch.Trails, func(t Trail) bool {
		known := t.Commit == s.Change.Commit || s.Landed != nil && t.Commit == s.Landed.Commit
		return t.Kind == TrailRevert && (known || len(t.Places) == 0 && siblingTrail(w, t))
	})
}

// covers says whether the form already knows a failure: the same revision of the same workload and container.
func covers(s *v1alpha1.RollbackStatus, f v1alpha1.Failure) bool {
	return slices.ContainsFunc(s.Failures, func(o v1alpha1.Failure) bool { return sameFailure(o, f) })
}

func sameFailure(a, b v1alpha1.Failure) bool {
	return a.Trigger == b.Trigger && a.Workload == b.Workload && a.Revision == b.Revision && a.Container == b.Container
}

// unseen are failures that the form does not know yet, or knows less well.
func unseen(s *v1alpha1.RollbackStatus, now []v1alpha1.Failure) []v1alpha1.Failure {
	var out []v1alpha1.Failure
	for _, f := range now {
		i := slices.IndexFunc(s.Failures, func(o v1alpha1.Failure) bool { return sameFailure(o, f) })
		switch {
		case i < 0 && len(s.Failures) < v1alpha1.MaxFailures:
			out = append(out, f)
		case i >= 0 && (saysMore(f.Cause, s.Failures[i].Cause) || driftMoved(f, s.Failures[i]) ||
			rolloutMoved(f, s.Failures[i]) || applyMoved(f, s.Failures[i]) || canaryMoved(f, s.Failures[i])):
			out = append(out, f)
		}
	}
	return out
}

// saysMore says whether a later look knows the cause better: older kubelets hide the first error behind the back-off,
// and a registry that was down when the image was first pulled says later that it does not have it.
func saysMore(now, before v1alpha1.Cause) bool {
	switch {
	case now == before, now == v1alpha1.CauseUnknown, before.ImageFault():
		return false
	}
	return before == v1alpha1.CauseUnknown || now.ImageFault()
}
