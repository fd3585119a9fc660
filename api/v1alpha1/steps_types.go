package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// PlaceValue is a value for the place of the same index in suspect.places.
type PlaceValue struct {
	// Index into suspect.places.
	Index int32 `json:"index"`
	// Value to write; the empty string is a value too.
	// +kubebuilder:validation:MaxLength=320
	Value string `json:"value"`
	// Remove takes the place out, which the suspect added, in place of writing a value: a digest beside a tag, or all of
	// an entry of images. A value beside it comes back under its own key: the tag that a digest replaced, or the digest
	// that a tag replaced.
	// +optional
	Remove bool `json:"remove,omitempty"`
}

// Target is what the places go back to.
type Target struct {
	// Image that the workload will run again; empty where there is none.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Image string `json:"image,omitempty"`
	// Values for the places.
	// +optional
	// +kubebuilder:validation:MaxItems=24
	Values []PlaceValue `json:"values,omitempty"`
	// PassedOver are newer images than the target that Git had, newest first: the registry has them no more, and none is
	// known to have failed.
	// +optional
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MaxLength=320
	PassedOver []string `json:"passedOver,omitempty"`
	// Digest that the registry gave for the target.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Digest string `json:"digest,omitempty"`
	// Proved means that the registry holds the target for the platforms asked for.
	Proved bool `json:"proved"`
	// BadProved means that the registry confirmed that the failing image cannot run.
	BadProved bool `json:"badProved"`
	// ConfirmAt is when the registry is asked once more for the failing image, which it says it does not have although
	// image automation found it there; empty where it is not.
	// +optional
	ConfirmAt *Time `json:"confirmAt,omitempty"`
	// Proof says in a sentence what the registry answered, about both.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Proof string `json:"proof,omitempty"`
	// Also are objects that change together with the one that failed, where whole files go back.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	Also []ObjectRef `json:"also,omitempty"`
	// Reason is why the files do not go back, so that it is only told; empty where they may.
	// +optional
	Refused *Doubt `json:"refused,omitempty"`
	// At is when it was proved.
	At Time `json:"at"`
}

// Verdict reports whether Git is changed, and who said so.
type Verdict struct {
	// Answer is Approve or Reject.
	Answer Answer `json:"answer"`
	// Source says whose word it is: Policy, Person, or Branch where Git says that it was decided elsewhere.
	Source VerdictSource `json:"source"`
	// By names who it was, to read: the user, the policies, or the commit.
	// +kubebuilder:validation:MaxLength=512
	By string `json:"by"`
	// Policies that counted when it was given, as they were then.
	// +optional
	// +kubebuilder:validation:MaxItems=4
	Policies []PolicyRef `json:"policies,omitempty"`
	// At is when.
	At Time `json:"at"`
	// Question that was asked, or would have been.
	// +optional
	// +kubebuilder:validation:MaxLength=12
	Question string `json:"question,omitempty"`
	// Why in a sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Why string `json:"why,omitempty"`
	// Cooldown of the policy when it was given: the revert waits until the workload's last one is that long ago.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	Cooldown metav1.Duration `json:"cooldown,omitempty"`
	// Lift of the policy when it was given: what will lift the hold.
	// +optional
	Lift LiftMode `json:"lift,omitempty"`
}

// VerdictSource says whose word a verdict is.
//
// +kubebuilder:validation:Enum=Policy;Person;Branch;Merge
type VerdictSource string

// The sources of a verdict.
const (
	// VerdictByPolicy is a RollbackPolicy with mode Auto.
	VerdictByPolicy VerdictSource = "Policy"
	// VerdictByPerson is a decision in spec.decisions.
	VerdictByPerson VerdictSource = "Person"
	// VerdictByBranch is a revert or a hold that another Rollback or another cluster brought to the branch.
	VerdictByBranch VerdictSource = "Branch"
	// VerdictByMerge is a pull request that was merged, by whomever its provider let.
	VerdictByMerge VerdictSource = "Merge"
)

// PolicyRef is a RollbackPolicy as it was read.
type PolicyRef struct {
	// Namespace and Name of the policy.
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// UID tells it from another one that had the name before.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=36
	UID types.UID `json:"uid,omitempty"`
	// Generation of its spec that counted.
	// +optional
	Generation int64 `json:"generation,omitempty"`
}

// String is namespace/name.
func (p PolicyRef) String() string { return p.Namespace + "/" + p.Name }

// Change is what was written to Git.
type Change struct {
	// Commit is the revert.
	// +kubebuilder:validation:MaxLength=64
	Commit string `json:"commit"`
	// Hold is the commit that holds image automation off; empty where no marker was on the places.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Hold string `json:"hold,omitempty"`
	// Branch that was pushed to.
	// +kubebuilder:validation:MaxLength=240
	Branch string `json:"branch"`
	// Policies are the ImagePolicies held, as namespace:name.
	// +optional
	// +kubebuilder:validation:MaxItems=24
	// +kubebuilder:validation:items:MaxLength=317
	Policies []string `json:"policies,omitempty"`
	// Lift is what lifts the hold, as the hold itself says: Manual where the policy says so, and after two lifts in a
	// row that brought an image which had to be reverted.
	// +optional
	Lift LiftMode `json:"lift,omitempty"`
	// By names the Rollback that pushed it, where it was another one or another cluster's.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	By string `json:"by,omitempty"`
	// Overtaken is what forbids it since a moment after it was sent: the push was under way when a policy was suspended,
	// taken away or made stricter.
	// +optional
	Overtaken Bar `json:"overtaken,omitempty"`
	// At is when.
	At Time `json:"at"`
}

// Landed is the first commit on the deployed branch that holds the target.
type Landed struct {
	// Commit is its hash.
	// +kubebuilder:validation:MaxLength=64
	Commit string `json:"commit"`
	// At is when it was seen.
	At Time `json:"at"`
	// Again counts how often it was landed again after a force push lost it.
	// +optional
	Again int32 `json:"again,omitempty"`
}

// Request is the reconcile that was asked of Flux, object by object.
type Request struct {
	// Token is the value of reconcile.fluxcd.io/requestedAt.
	// +kubebuilder:validation:MaxLength=128
	Token string `json:"token"`
	// Objects are what the commit passes through, from the source down. Most of them hear of it by themselves.
	// +kubebuilder:validation:MaxItems=8
	Objects []ObjectRef `json:"objects"`
	// At is when asking began.
	At Time `json:"at"`
	// Asked are those of the objects that were asked, and when.
	// +optional
	// +kubebuilder:validation:MaxItems=12
	Asked []AskedObject `json:"asked,omitempty"`
}

// AskedObject is an object that was asked for a reconcile.
type AskedObject struct {
	ObjectRef `json:",inline"`
	// At is when.
	At Time `json:"at"`
}

// Result is how a Rollback ended.
//
// +kubebuilder:validation:MaxLength=32
type Result string

// The ends.
const (
	// ResultVerified: the revert was applied and the workload runs the target.
	ResultVerified Result = "Verified"
	// ResultRestored: Flux undid a drift.
	ResultRestored Result = "Restored"
	// ResultRecovered: the image was pulled after all, or nothing asks for it any more although no Git was changed.
	ResultRecovered Result = "Recovered"
	// ResultRejected: a person said no.
	ResultRejected Result = "Rejected"
	// ResultExpired: nobody decided in time. It can still be decided.
	ResultExpired Result = "Expired"
	// ResultSuperseded: Git already says something else.
	ResultSuperseded Result = "Superseded"
	// ResultSourceNotFound: no commit in a Git repository that Backstop may write to brought the image in.
	ResultSourceNotFound Result = "SourceNotFound"
	// ResultReportedOnly: the policy only tells.
	ResultReportedOnly Result = "ReportedOnly"
	// ResultFailed: the revert could not be made or did not arrive.
	ResultFailed Result = "Failed"
)

// What became of a revert that ends as Superseded, as status.outcome.reason has it.
const (
	// OutcomeWrittenAgain: the branch says again what was reverted.
	OutcomeWrittenAgain = "WrittenAgain"
	// OutcomeNewer: the branch says something newer than the revert.
	OutcomeNewer = "NewerInGit"
)

// Outcome is how it ended, for a human.
type Outcome struct {
	// Result is the end.
	Result Result `json:"result"`
	// Message says it in a sentence.
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`
	// Reason is a word for what ended it, where there is more to say than the result: the kind of the Git server's
	// refusal, such as Declined, or WrittenAgain or NewerInGit where the branch moved on after the revert.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Reason string `json:"reason,omitempty"`
	// At is when.
	At Time `json:"at"`
}

// Hold keeps image automation off one place: what the ImagePolicy of its marker selects lifts this hold, and no other.
type Hold struct {
	// Place is the ID of the place in suspect.places.
	// +kubebuilder:validation:MaxLength=12
	Place string `json:"place"`
	// LiftedBy is who lifted it; empty while it stands.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	LiftedBy string `json:"liftedBy,omitempty"`
}

// Lifted says how the last of the holds was lifted.
type Lifted struct {
	// Commit that lifted it; empty where somebody else's did.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Commit string `json:"commit,omitempty"`
	// Image that the policy selects now.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Image string `json:"image,omitempty"`
	// By is who: the policy's newer image, a person, or somebody's commit.
	// +kubebuilder:validation:MaxLength=512
	By string `json:"by"`
	// At is when.
	At Time `json:"at"`
}
