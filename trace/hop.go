package trace

import (
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
)

// Mark is how a hop stands.
type Mark string

// The marks.
const (
	// Good: the image came through here.
	Good Mark = "ok"
	// Blocked: it does not go on before somebody does something. Why and Fix say what.
	Blocked Mark = "stopped"
	// Waits: it has not got here yet, and will if what comes before lets it. Why describes what it waits for.
	Waits Mark = "waits"
	// Unknown: what is here could not be read. Why explains the reason.
	Unknown Mark = "not read"
	// None: there is nothing here to go through.
	None Mark = "none"
)

// The names of the hops, in the order of the way.
const (
	HopTag        = "tag"
	HopScan       = "scan"
	HopPolicy     = "policy"
	HopAutomation = "automation"
	HopMarker     = "marker"
	HopCommit     = "commit"
	HopSource     = "source"
	HopApply      = "apply"
	HopRelease    = "release"
	HopWorkload   = "workload"
	HopCanary     = "canary"
	HopPods       = "pods"
)

// Hop is one step of an image's way, and one thing that the doctor looks at.
type Hop struct {
	// Name of the hop.
	Name string `json:"name"`
	// At names the object, or the file and line; empty for nothing.
	At string `json:"at,omitempty"`
	// Mark describes how it stands.
	Mark Mark `json:"mark"`
	// Says what is there, in half a sentence.
	Says string `json:"says,omitempty"`
	// Why it is not good; empty where it is.
	Why string `json:"why,omitempty"`
	// Fix is a command to run, or what to set where; never empty where the image is stopped.
	Fix string `json:"fix,omitempty"`
}

// Trail is the way of one container's image.
type Trail struct {
	Namespace string            `json:"namespace"`
	Workload  v1alpha1.Workload `json:"workload"`
	Container string            `json:"container"`
	// Image that is followed, and Runs what the workload's template names.
	Image string `json:"image"`
	Runs  string `json:"runs"`
	Hops  []Hop  `json:"hops"`
	// Notes are what else was seen that no hop says.
	Notes []string `json:"notes,omitempty"`
	// History lists which image ran when, if the question asks for it; More says that it goes further back.
	History []gitrepo.ImageChange `json:"history,omitempty"`
	More    bool                  `json:"more,omitempty"`
	// At is when this was so.
	At time.Time `json:"at"`
}

// The codes with which the command ends.
const (
	CodeGood    = 0
	CodeBlocked = 1
	CodeUnknown = 3
)

// Code sums trails up for a script: 1 where one is stopped or on its way, else 3 where one could not be read, else 0.
func Code(trails []Trail) int {
	var all []Hop
	for _, t := range trails {
		all = append(all, t.Hops...)
	}
	return CodeOf(all)
}

// CodeOf sums hops up in the same way.
func CodeOf(hops []Hop) int {
	code := CodeGood
	for _, h := range hops {
		switch h.Mark {
		case Blocked, Waits:
			return CodeBlocked
		case Unknown:
			code = CodeUnknown
		case Good, None:
		}
	}
	return code
}
