package slack

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// What a thread was told is kept as one word for each step, so that after a restart it is told the rest and nothing
// twice: before makes the record as it was when the thread was last told, and card.Note tells the difference.

// told is what a thread knows once it was told all of a record. facts leaves out what the card's own first state does
// not say as news: the decision and everything after it.
func told(r *v1alpha1.Rollback, facts bool) []string {
	s := &r.Status
	var out []string
	add := func(there bool, word string) {
		if there {
			out = append(out, word)
		}
	}
	add(len(s.Failures) > 0, "failures")
	add(s.Suspect != nil, "suspect")
	add(s.Target != nil, "target:"+targetWord(s))
	add(asked(s), "asked")
	if facts {
		return out
	}
	add(len(r.Spec.Decisions) > 0, "decision")
	add(s.Verdict != nil, "verdict")
	add(s.Change != nil, "change")
	add(s.Request != nil, "request")
	add(s.Outcome != nil, "outcome:"+resultOf(s))
	add(s.Outcome != nil && s.Waiting != nil, "waiting:"+waitingWord(s))
	add(s.Lifted != nil, "lift")
	add(strings.Contains(liftedWord(s), "1"), liftedWord(s))
	return out
}

// liftedHolds is the word of the holds that were lifted: a 1 for each of them.
const liftedHolds = "lifted:"

func liftedWord(s *v1alpha1.RollbackStatus) string {
	out := liftedHolds
	for _, h := range s.Holds {
		if h.LiftedBy == "" {
			out += "0"
		} else {
			out += "1"
		}
	}
	return out
}

func asked(s *v1alpha1.RollbackStatus) bool {
	return s.Question != nil && s.Verdict == nil && s.Outcome == nil
}

func targetWord(s *v1alpha1.RollbackStatus) string {
	if s.Target == nil {
		return ""
	}
	return shortHash(fmt.Sprint(s.Target.Image, "|", s.Target.Proved))
}

func resultOf(s *v1alpha1.RollbackStatus) string {
	if s.Outcome == nil {
		return ""
	}
	return string(s.Outcome.Result)
}

func waitingWord(s *v1alpha1.RollbackStatus) string {
	if s.Waiting == nil {
		return ""
	}
	return shortHash(s.Waiting.Why)
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}

// before is the record without what the thread was not told.
func before(after *v1alpha1.Rollback, words []string) *v1alpha1.Rollback {
	knows := func(word string) bool { return slices.Contains(words, word) }
	r := after.DeepCopy()
	s := &r.Status
	if !knows("failures") {
		s.Failures = nil
	}
	if !knows("suspect") {
		s.Suspect = nil
	}
	if !knows("target:" + targetWord(s)) {
		s.Target = nil
	}
	if !knows("decision") {
		r.Spec.Decisions = nil
	}
	if !knows("verdict") {
		s.Verdict = nil
	}
	if !knows("change") {
		s.Change = nil
	}
	if !knows("request") {
		s.Request = nil
	}
	if !knows("lift") {
		s.Lifted = nil
		stand(s, words)
	}
	waits := knows("asked") || !asked(&after.Status)
	if after.Status.Outcome != nil {
		waits = knows("waiting:" + waitingWord(s))
	}
	switch {
	case !waits && s.Outcome == nil:
		// The card stood already, so it was not the grace period that it waited for.
		s.Waiting, s.Question = &v1alpha1.Waiting{}, nil
	case !waits:
		// What it asked is no news any more, though it may still be answered.
		s.Waiting = nil
	}
	if s.Outcome != nil && !knows("outcome:"+resultOf(s)) {
		s.Outcome = earlierOutcome(words)
	}
	return r
}

// stand takes back the lifts that the thread was not told.
func stand(s *v1alpha1.RollbackStatus, words []string) {
	known := ""
	for _, w := range words {
		if holds, ok := strings.CutPrefix(w, liftedHolds); ok {
			known = holds
		}
	}
	for i := range s.Holds {
		if i >= len(known) || known[i] != '1' {
			s.Holds[i].LiftedBy = ""
		}
	}
}

// earlierOutcome is the end that the thread was told, where a later one replaced it.
func earlierOutcome(words []string) *v1alpha1.Outcome {
	for _, w := range words {
		if result, ok := strings.CutPrefix(w, "outcome:"); ok {
			return &v1alpha1.Outcome{Result: v1alpha1.Result(result)}
		}
	}
	return nil
}
