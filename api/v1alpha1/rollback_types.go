package v1alpha1

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LiftRequest is what a person says who wants a hold lifted.
type LiftRequest struct {
	// By is who wants it: the Kubernetes user name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	By string `json:"by"`
	// At is when; the writer's clock.
	At Time `json:"at"`
	// Reason is the person's own words.
	// +optional
	// +kubebuilder:validation:MaxLength=500
	Reason string `json:"reason,omitempty"`
	// Places are the IDs of the places whose holds are lifted, as status.holds has them; empty for all.
	// +optional
	// +kubebuilder:validation:MaxItems=24
	// +kubebuilder:validation:items:MaxLength=12
	Places []string `json:"places,omitempty"`
}

// Names reports whether a person wants the hold on a place lifted.
func (l *LiftRequest) Names(place string) bool {
	return l != nil && (len(l.Places) == 0 || slices.Contains(l.Places, place))
}

// RollbackSpec names what failed, and holds what people decided.
//
// +kubebuilder:validation:XValidation:rule="self.openedFor == oldSelf.openedFor",message="openedFor is what the Rollback was opened for and cannot be changed",fieldPath=".openedFor"
// +kubebuilder:validation:XValidation:rule="self.subject == oldSelf.subject",message="subject is what the Rollback is about and cannot be changed",fieldPath=".subject"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.decisions) || (has(self.decisions) && oldSelf.decisions.all(o, self.decisions.exists(n, n == o)))",message="a decision cannot be changed or withdrawn: decisions can only be added",fieldPath=".decisions"
type RollbackSpec struct {
	// Subject is what the Rollback is about.
	Subject Subject `json:"subject"`
	// OpenedFor is the trigger of the failure that opened it. Failures of other triggers may join it.
	OpenedFor TriggerType `json:"openedFor"`
	// Decisions are people's answers, one for each person and question, only ever added to.
	// +optional
	// +listType=map
	// +listMapKey=by
	// +listMapKey=question
	// +kubebuilder:validation:MaxItems=32
	Decisions []Decision `json:"decisions,omitempty"`
	// Lift is there where a person wants the hold lifted now. One that is older than status.change does not count.
	// +optional
	Lift *LiftRequest `json:"lift,omitempty"`
}

// RollbackStatus holds the steps. Each is written once.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.failures) || (has(self.failures) && oldSelf.failures.all(o, self.failures.exists(n, n.id == o.id)))",message="failures only grow",fieldPath=".failures"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.suspect) || (has(self.suspect) && (self.suspect == oldSelf.suspect || (!has(oldSelf.verdict) && self.suspect.commit == oldSelf.suspect.commit && size(self.suspect.places) > size(oldSelf.suspect.places) && oldSelf.suspect.places.all(o, self.suspect.places.exists(n, n == o)))))",message="suspect is written once, and before the verdict only gains places",fieldPath=".suspect"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.target) || has(self.target)",message="target is never erased",fieldPath=".target"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.target) || !has(oldSelf.verdict) || (has(self.target) && self.target == oldSelf.target)",message="target is fixed by the verdict",fieldPath=".target"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.verdict) || (has(self.verdict) ? self.verdict == oldSelf.verdict : (!has(oldSelf.change) && has(self.lapsed) && self.lapsed.exists(l, l.verdict.by == oldSelf.verdict.by && l.verdict.at == oldSelf.verdict.at)))",message="verdict is written once, and withdrawn only into lapsed",fieldPath=".verdict"
// +kubebuilder:validation:XValidation:rule="!has(self.change) || (has(self.verdict) && self.verdict.answer == 'Approve')",message="no change before a verdict that allows it",fieldPath=".change"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.change) || (has(self.change) && self.change == oldSelf.change)",message="change is written once",fieldPath=".change"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.pullRequest) || (has(self.pullRequest) && (!has(oldSelf.pullRequest.number) || (has(self.pullRequest.number) && self.pullRequest.number == oldSelf.pullRequest.number)))",message="the pull request is never erased, and stays the same one",fieldPath=".pullRequest"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.landed) || has(self.landed)",message="landed is never erased",fieldPath=".landed"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.request) || has(self.request)",message="request is never erased",fieldPath=".request"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.outcome) || (has(self.outcome) && (self.outcome == oldSelf.outcome || oldSelf.outcome.result in ['Expired', 'SourceNotFound', 'ReportedOnly'] || (oldSelf.outcome.result == 'Rejected' && self.outcome.result == 'Expired' && has(self.pullRequest)) || (oldSelf.outcome.result == 'Restored' && has(oldSelf.verdict) && oldSelf.verdict.answer == 'Approve')))",message="outcome is written once, unless what it was about is over or is decided after all",fieldPath=".outcome"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.lifted) || (has(self.lifted) && self.lifted == oldSelf.lifted)",message="lifted is written once",fieldPath=".lifted"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.holds) || (has(self.holds) && oldSelf.holds.all(o, self.holds.exists(n, n.place == o.place && (!has(o.liftedBy) || (has(n.liftedBy) && n.liftedBy == o.liftedBy)))))",message="holds are never erased, and each is lifted once",fieldPath=".holds"
type RollbackStatus struct {
	// ObservedGeneration is the generation that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions follow kstatus: Ready, Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:XValidation:rule="self.all(c, size(c.message) <= 1024 && size(c.reason) <= 64)",message="a condition's message has at most 1024 characters and its reason 64"
	// +kubebuilder:validation:MaxItems=5
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Phase is the first step that is not done, or how it ended.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Phase string `json:"phase,omitempty"`
	// Summary says what happens, and, where a person is asked, how to answer, in so few characters that a row of
	// kubectl get has 140 columns at most.
	// +optional
	// +kubebuilder:validation:MaxLength=120
	Summary string `json:"summary,omitempty"`
	// Waiting explains why nothing happens right now, and until when.
	// +optional
	Waiting *Waiting `json:"waiting,omitempty"`
	// Failures are what went wrong about the subject. Only grows, to at most 15; then MoreFailures counts.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=15
	Failures []Failure `json:"failures,omitempty"`
	// MoreFailures counts failures that were seen after the list was full.
	// +optional
	MoreFailures int32 `json:"moreFailures,omitempty"`
	// Pods counts the pods of the failing workloads, as last seen before the verdict.
	// +optional
	Pods *PodCount `json:"pods,omitempty"`
	// Remediated is what Helm did by itself about the failure, as last seen: it is no recovery, since Git still says what
	// failed.
	// +optional
	Remediated *Remediation `json:"remediated,omitempty"`
	// Search is what was found in Git where the Rollback is about a workload; else it is not there.
	// +optional
	Search *Search `json:"search,omitempty"`
	// Suspect is the commit that brought the image in.
	// +optional
	Suspect *Suspect `json:"suspect,omitempty"`
	// Target is what to go back to.
	// +optional
	Target *Target `json:"target,omitempty"`
	// Question is what people are asked now; not there while nobody is.
	// +optional
	Question *Question `json:"question,omitempty"`
	// Lapsed are verdicts that were withdrawn because something forbade them for too long.
	// +optional
	// +kubebuilder:validation:MaxItems=4
	Lapsed []Lapse `json:"lapsed,omitempty"`
	// Verdict reports whether Git is changed.
	// +optional
	Verdict *Verdict `json:"verdict,omitempty"`
	// PullRequest is how the change comes to the branch where that takes no push, or where the policy wants it so. The
	// change comes once it has landed.
	// +optional
	PullRequest *PullRequest `json:"pullRequest,omitempty"`
	// Change is what was written to Git.
	// +optional
	Change *Change `json:"change,omitempty"`
	// Landed is the first commit on the deployed branch that holds the target.
	// +optional
	Landed *Landed `json:"landed,omitempty"`
	// Request is the reconcile that was asked of Flux.
	// +optional
	Request *Request `json:"request,omitempty"`
	// FastForward lists what was set on workloads ahead of Flux, and what was not and why.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	FastForward []FastForward `json:"fastForward,omitempty"`
	// Returning are open pull requests that bring again what was reverted, where changes come by pull request.
	// +optional
	Returning *Returning `json:"returning,omitempty"`
	// Outcome is how it ended.
	// +optional
	Outcome *Outcome `json:"outcome,omitempty"`
	// LiftPullRequest is how the hold is lifted from a branch that takes no push, or where the policy wants it so.
	// +optional
	LiftPullRequest *PullRequest `json:"liftPullRequest,omitempty"`
	// Holds are what the revert left on image automation, by place, and who lifted each. Records of before have none:
	// there all of change.policies is held until lifted says otherwise.
	// +optional
	// +listType=map
	// +listMapKey=place
	// +kubebuilder:validation:MaxItems=24
	Holds []Hold `json:"holds,omitempty"`
	// Lifted says how the last of the holds was lifted; not there while one stands.
	// +optional
	Lifted *Lifted `json:"lifted,omitempty"`
	// Card is where people see it on Slack. It is no step: what is decided never depends on it.
	// +optional
	Card *Card `json:"card,omitempty"`
}

// Card is the one Slack message of a Rollback, which changes in place.
type Card struct {
	// Provider is the Flux Provider that posted it, as namespace/name.
	// +kubebuilder:validation:MaxLength=317
	Provider string `json:"provider"`
	// Channel is the ID of the channel that it stands in.
	// +kubebuilder:validation:MaxLength=64
	Channel string `json:"channel"`
	// TS is the message's timestamp, by which Slack knows it in its channel.
	// +kubebuilder:validation:MaxLength=64
	TS string `json:"ts"`
	// Thread is the message above the thread that the card is in, where one commit made a digest of many; else empty.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Thread string `json:"thread,omitempty"`
	// Hash of what it shows.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Hash string `json:"hash,omitempty"`
	// Told is what the thread has been told, a word for each step.
	// +optional
	// +kubebuilder:validation:MaxItems=12
	// +kubebuilder:validation:items:MaxLength=64
	Told []string `json:"told,omitempty"`
}

// Waiting explains why nothing happens right now.
type Waiting struct {
	// Why in a sentence.
	// +kubebuilder:validation:MaxLength=1024
	Why string `json:"why"`
	// Until is when Backstop looks again or gives up.
	// +optional
	Until *Time `json:"until,omitempty"`
	// Since is when it began to wait for this.
	Since Time `json:"since"`
	// Refused is the kind of the Git server's refusal that it waits to be over, such as Forbidden; empty for none.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Refused string `json:"refused,omitempty"`
	// Barred says what forbids the write that an answer or the policy allowed before; empty where nothing does.
	// +optional
	Barred Bar `json:"barred,omitempty"`
}

// PodCount says how many pods of the failing workloads wait for the image, and how many they have.
type PodCount struct {
	// Failing pods wait for the image.
	Failing int32 `json:"failing"`
	// Total is how many pods the workloads have, of every revision; zero where that cannot be read.
	// +optional
	Total int32 `json:"total,omitempty"`
	// Ready is how many of them are ready, on the image that they ran before.
	// +optional
	Ready int32 `json:"ready,omitempty"`
}

// Rollback is the record of one subject, mostly an image that could not run: what failed, which commit brought it in,
// who allowed the revert, and where the revert is now. Backstop opens it; people only add decisions.
//
// +kubebuilder:validation:XValidation:rule="!has(self.spec.decisions) || self.spec.decisions.all(d, (has(oldSelf.spec.decisions) && oldSelf.spec.decisions.exists(o, o.question == d.question && o.by == d.by)) || (has(self.status) && has(self.status.question) && self.status.question.id == d.question && d.answer in self.status.question.answers))",messageExpression="has(self.status) && has(self.status.question) ? 'the question that is asked is ' + self.status.question.id + ' and takes ' + self.status.question.answers.join(' or ') + ': answer it, or run backstop approve or backstop reject' : 'nothing is asked now: status.question is not there'",message="a decision answers the question that status.question asks",fieldPath=".spec.decisions"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.lift) || (has(oldSelf.spec.lift) && self.spec.lift == oldSelf.spec.lift) || (has(self.status) && has(self.status.change) && has(self.status.change.hold) && has(self.status.outcome) && !has(self.status.lifted) && self.spec.lift.at >= self.status.change.at && (!has(self.spec.lift.places) || (has(self.status.holds) && self.spec.lift.places.all(p, (has(oldSelf.spec.lift) && has(oldSelf.spec.lift.places) && p in oldSelf.spec.lift.places) || self.status.holds.exists(h, h.place == p && !has(h.liftedBy))))))",message="a lift is for holds that stand: once status.outcome is there, until status.lifted is, dated after status.change, and of places in status.holds that nobody has lifted",fieldPath=".spec.lift"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.spec.lift) || (has(self.spec.lift) && (self.spec.lift == oldSelf.spec.lift || (has(oldSelf.spec.lift.places) && (!has(self.spec.lift.places) || (size(self.spec.lift.places) > size(oldSelf.spec.lift.places) && oldSelf.spec.lift.places.all(p, p in self.spec.lift.places)))) || (has(self.status) && has(self.status.change) && (oldSelf.spec.lift.at < self.status.change.at || (has(self.status.liftPullRequest) && has(self.status.liftPullRequest.state) && (self.status.liftPullRequest.state == 'Closed' || has(self.status.liftPullRequest.missed)) && self.spec.lift.at != oldSelf.spec.lift.at && (has(self.status.liftPullRequest.askedAt) ? oldSelf.spec.lift.at == self.status.liftPullRequest.askedAt : oldSelf.spec.lift.at <= self.status.liftPullRequest.at))))))",message="lift cannot be changed or withdrawn, only name more places: the hold is being lifted",fieldPath=".spec.lift"
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=rb,categories=all;backstop
// +kubebuilder:metadata:annotations="kustomize.toolkit.fluxcd.io/substitute=disabled"
// +kubebuilder:selectablefield:JSONPath=`.spec.subject.kind`
// +kubebuilder:selectablefield:JSONPath=`.spec.subject.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.openedFor`
// +kubebuilder:selectablefield:JSONPath=`.status.phase`
// +kubebuilder:selectablefield:JSONPath=`.status.suspect.commit`
// +kubebuilder:printcolumn:name="Trigger",type=string,JSONPath=`.spec.openedFor`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.summary`
// +kubebuilder:printcolumn:name="Subject",type=string,priority=1,JSONPath=`.spec.subject.name`
// +kubebuilder:printcolumn:name="Back To",type=string,priority=1,JSONPath=`.status.target.image`
// +kubebuilder:printcolumn:name="Suspect",type=string,priority=1,JSONPath=`.status.suspect.commit`
// +kubebuilder:printcolumn:name="Revert",type=string,priority=1,JSONPath=`.status.change.commit`
type Rollback struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec RollbackSpec `json:"spec"`
	// +optional
	Status RollbackStatus `json:"status,omitempty"`
}

// RollbackList is a list of Rollbacks.
//
// +kubebuilder:object:root=true
type RollbackList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Rollback `json:"items"`
}

// Lapse is a verdict that was not carried out while something forbade it, and was withdrawn.
type Lapse struct {
	// Verdict that was given.
	Verdict Verdict `json:"verdict"`
	// At is when it was withdrawn.
	At Time `json:"at"`
	// Why in a sentence.
	// +kubebuilder:validation:MaxLength=512
	Why string `json:"why"`
}
