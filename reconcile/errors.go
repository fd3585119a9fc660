package reconcile

import (
	"errors"
	"fmt"
	"time"
)

// Refusal is an error that trying again at once does not help against: somebody has to change something. It is terminal
// unless its kind heals. Its sentence is written for the person who reads `kubectl get rollback` and names what to do.
type Refusal struct {
	// Sentence for a human, without a secret in it.
	Sentence string
	// Kind of the fault; empty for what content says, which is terminal.
	Kind FaultKind
	// Err is the cause, where there is one.
	Err error
}

// Error is the sentence.
func (r *Refusal) Error() string { return r.Sentence }

// Unwrap gives the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// Refuse makes a terminal error from a sentence.
func Refuse(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Refusal{Sentence: err.Error(), Kind: KindOf(err), Err: errors.Unwrap(err)}
}

// AsRefusal reports whether an error is a refusal, and gives its sentence.
func AsRefusal(err error) (string, bool) {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Sentence, true
	}
	return "", false
}

// ErrConflict means that an object was changed since it was read: start over.
var ErrConflict = errors.New("the object was changed in between")

// ErrSuperseded means that no node holds the bad value any more: Git already says something else.
var ErrSuperseded = errors.New("git already says something else")

// RetryAfter is an error of a peer that said when to come back.
type RetryAfter struct {
	// After is how long to wait.
	After time.Duration
	// Err is what failed.
	Err error
}

// Error is the cause's.
func (r *RetryAfter) Error() string { return r.Err.Error() }

// Unwrap gives the cause.
func (r *RetryAfter) Unwrap() error { return r.Err }

// RefuseAs makes a refusal of a kind from a sentence.
func RefuseAs(kind FaultKind, format string, args ...any) error {
	err := Refuse(format, args...)
	var r *Refusal
	if errors.As(err, &r) {
		r.Kind = kind
	}
	return err
}

// KindOf is the kind of the refusal in an error; empty if it has no refusal.
func KindOf(err error) FaultKind {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Kind
	}
	return ""
}
