// Package notify tells people what happens to a Rollback.
//
// A Teller hears of every saved change, as the record before and after it. It is
// a view: it never blocks the line and never decides. Kubernetes Events and
// metrics are Tellers; channels for people follow the same rule.
//
//	engine ── before, after ──► Teller · Teller · …
package notify

import (
	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Teller hears of saved changes of one Rollback in order. It must not block, and must not change what it is given.
type Teller interface {
	Tell(before, after *v1alpha1.Rollback)
}

// All tells several Tellers.
type All []Teller

// Tell tells each.
func (a All) Tell(before, after *v1alpha1.Rollback) {
	for _, t := range a {
		t.Tell(before, after)
	}
}

// News is one thing that a change says, in the order of the steps.
type News struct {
	// Reason is the step that was filled, in CamelCase, as Kubernetes Events want it.
	Reason string
	// Sentence says it.
	Sentence string
	// Answer is the command that answers, where the news is a question. A card has buttons and its own line for it.
	Answer string
	// Warning marks what needs a person.
	Warning bool
}

// Text is the sentence with the command that answers it, for whoever has no buttons.
func (n News) Text() string {
	if n.Answer == "" {
		return n.Sentence
	}
	return n.Sentence + ". To decide: " + n.Answer
}
