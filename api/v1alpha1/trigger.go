package v1alpha1

import (
	"slices"
	"time"
)

// TriggerRow is what is known of one trigger without looking at anything: its words and its limits. What it sees and
// does stands in reconcile/trigger.
type TriggerRow struct {
	Type TriggerType
	// Words say what it sees to a person, within a sentence.
	Words string
	// MaxMode is how far a policy may let it go; MaxModeWhy explains why no further.
	MaxMode    Mode
	MaxModeWhy string
	// Grace and MaxAge count where a policy sets none.
	Grace, MaxAge time.Duration
	// Timeless means that grace and age never count: what it sees neither heals by itself nor grows old.
	Timeless bool
	// Blames means that what it sees is held against the image, which is to be proved bad.
	Blames bool
	// LiftedByPerson means that a person lifts the hold: that the registry has a newer image tells nothing about it.
	LiftedByPerson bool
	// OfFlux means that it is about Flux's own objects, and about no workload.
	OfFlux bool
	// RejectRestores means that a Reject puts back what Git says. Otherwise it leaves everything as it is.
	RejectRestores bool
}

// triggers in the order in which a record that was seen by several of them speaks of them.
var triggers = []TriggerRow{
	{Type: TriggerImagePull, Words: "an image cannot be pulled", MaxMode: ModeAuto,
		Grace: 30 * time.Second, MaxAge: 24 * time.Hour, Blames: true},
	{Type: TriggerRollout, Words: "a new revision does not become ready", MaxMode: ModeAuto,
		Grace: 2 * time.Minute, MaxAge: 24 * time.Hour, Blames: true, LiftedByPerson: true},
	{Type: TriggerCanary, Words: "a canary analysis refused an update", MaxMode: ModeAuto,
		MaxAge: 24 * time.Hour, Blames: true},
	{Type: TriggerApply, Words: "Flux cannot apply what Git says", MaxMode: ModeApprove,
		MaxModeWhy: "files go back only when a person says so", Grace: 2 * time.Minute, MaxAge: 24 * time.Hour, OfFlux: true},
	{Type: TriggerDrift, Words: "an image was changed by hand", MaxMode: ModeApprove,
		MaxModeWhy: "a drift is never adopted by itself", Timeless: true, RejectRestores: true},
}

// Triggers lists every trigger.
func Triggers() []TriggerRow { return slices.Clone(triggers) }

// Row is what is known of a trigger. One that another version of Backstop wrote may only be told about here.
func (t TriggerType) Row() TriggerRow {
	for _, r := range triggers {
		if r.Type == t {
			return r
		}
	}
	return TriggerRow{Type: t, Words: "something failed", MaxMode: ModeNotify,
		MaxModeWhy: "this Backstop does not know the trigger"}
}
