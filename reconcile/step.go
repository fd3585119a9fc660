package reconcile

import (
	"fmt"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Effect names what a Step does. Each fills one step.
type Effect string

// The effects.
const (
	// DoWait does nothing until Step.Wait has passed or something wakes the key; zero waits for a wake.
	DoWait Effect = "Wait"
	// DoFailures merges what the pods say into the Rollback.
	DoFailures Effect = "Failures"
	// DoSuspect finds the commit that brought the image in.
	DoSuspect Effect = "Suspect"
	// DoTarget proves what failed and what to go back to.
	DoTarget Effect = "Target"
	// DoReport tells what Flux cannot apply, with the commit that is to blame where one is found, and ends the Rollback.
	DoReport Effect = "Report"
	// DoVerdict writes Step.Verdict.
	DoVerdict Effect = "Verdict"
	// DoLapse withdraws a verdict that was forbidden for too long.
	DoLapse Effect = "Lapse"
	// DoChange pushes the revert and the hold.
	DoChange Effect = "Change"
	// DoAdopt fills change from a trailer commit that stands on the branch already.
	DoAdopt Effect = "Adopt"
	// DoPullRequest opens a pull request, and writes down what is seen of it.
	DoPullRequest Effect = "PullRequest"
	// DoMerge has the provider merge the pull request, now or once it may.
	DoMerge Effect = "Merge"
	// DoDisarm tells the provider to merge no longer by itself.
	DoDisarm Effect = "Disarm"
	// DoClose closes the pull request of a Rollback that has ended.
	DoClose Effect = "Close"
	// DoMerged fills change with what a pull request brought to the branch.
	DoMerged Effect = "Merged"
	// DoLanded writes the commit that holds the target.
	DoLanded Effect = "Landed"
	// DoLandAgain pushes a revert that a force push lost.
	DoLandAgain Effect = "LandAgain"
	// DoReturning looks for open pull requests that bring again what was reverted, and closes those that it may.
	DoReturning Effect = "Returning"
	// DoRequest asks one object of Flux for a reconcile, and writes down who was asked.
	DoRequest Effect = "Request"
	// DoForward sets the images of one workload to what Git says ahead of Flux, or writes down why not.
	DoForward Effect = "Forward"
	// DoDisown takes the mark of a fast-forward off a workload.
	DoDisown Effect = "Disown"
	// DoDeletePod deletes a pod that keeps an ordered rollout from moving on.
	DoDeletePod Effect = "Unstick"
	// DoOutcome writes Step.Outcome.
	DoOutcome Effect = "Outcome"
	// DoLift takes the hold away.
	DoLift Effect = "Lift"
	// DoLifted writes that somebody else took the hold away.
	DoLifted Effect = "Released"
)

// Step is what to do next, and why.
type Step struct {
	Do Effect
	// Wait is how long to wait at most; zero until something wakes the key.
	Wait time.Duration
	// Until is when a grace period ends or the Rollback gives up, with DoWait; zero where it does not, or when Wait is
	// over.
	Until time.Time
	// Why in a sentence, shown in the status while waiting.
	Why string
	// Brief means that the wait is over within seconds, so that the status does not tell of it.
	Brief bool
	// Barred describes what forbids what was allowed before, with DoWait; empty where nothing does.
	Barred v1alpha1.Bar
	// Refused is the fault that is waited for, with DoWait; empty where none is.
	Refused FaultKind
	// Question to people, with DoWait and with the outcome Expired; nil when they are not asked.
	Question *v1alpha1.Question
	// Verdict to write with DoVerdict.
	Verdict v1alpha1.Verdict
	// Outcome to write with DoOutcome.
	Outcome v1alpha1.Outcome
	// Commit to adopt with DoAdopt.
	Commit TrailerCommit
	// Ask is whom to ask with DoRequest; nil for nobody yet.
	Ask *Stop
	// Forward is what to do with DoForward.
	Forward *Forward
	// Pod to delete with DoDeletePod.
	Pod StuckPod
	// By whom holds are lifted, with DoLift and DoLifted; Holds are their places, by their indices.
	By    string
	Holds []int32
}

// How long decide lets the line rest before the world is looked at again, where nothing wakes it.
const (
	// proofLasts is how old a proof may be when it is acted upon.
	proofLasts = 5 * time.Minute
	// proveSoonest and proveAgain bound the time after which an unproved image is asked for again.
	proveSoonest, proveAgain = 5 * time.Second, time.Minute
	// lookAgain is how often the branch and the rollout are looked at while something is on its way.
	lookAgain = 5 * time.Second
	// restAgain is how often a standing hold is looked at.
	restAgain = 10 * time.Minute
	// maxLandAgain is how often a revert that was lost to a force push is landed again.
	maxLandAgain = 3
	// adoptWithin is how long an empty Rollback waits for what the hold in Git says to be filled in.
	adoptWithin = time.Minute
)

func end(w *World, r v1alpha1.Result, format string, args ...any) Step {
	why := sentence(fmt.Sprintf(format, args...))
	return Step{Do: DoOutcome, Why: why, Outcome: v1alpha1.Outcome{Result: r, Message: why, At: v1alpha1.NewTime(w.Now)}}
}

// movedOn ends a revert that was on the branch, which has moved on since.
func movedOn(w *World, reason, format string, args ...any) Step {
	step := end(w, v1alpha1.ResultSuperseded, format, args...)
	step.Outcome.Reason = reason
	return step
}

// giveUp is how long an allowed revert is tried.
func giveUp(p Policy) time.Duration { return max(p.Verify, p.Cooldown, 30*time.Minute) }
