package reconcile

import (
	"fmt"
	"slices"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// standing is what the tip says of the suspect's nodes.
type standing struct {
	bad, target, other, held int
}

// stand counts the suspect's nodes at the tip.
func stand(s *v1alpha1.RollbackStatus, b *Branch) standing {
	var out standing
	for i, n := range s.Suspect.Places {
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

// StillInGit reports whether the branch says what fails still, as far as it was read.
func (w *World) StillInGit() bool {
	return w.Branch != nil && w.Rollback.Status.Suspect != nil && stand(&w.Rollback.Status, w.Branch).bad > 0
}

// removes reports whether the target is that the node is not there.
func removes(t *v1alpha1.Target, index int32) bool {
	return slices.ContainsFunc(t.Values, func(v v1alpha1.PlaceValue) bool { return v.Index == index && v.Remove })
}

func targetValue(t *v1alpha1.Target, index int32) string {
	for _, v := range t.Values {
		if v.Index == index && !v.Remove {
			return v.Value
		}
	}
	return "\x00no value"
}

// commitOf finds the revert that already serves the Rollback: its own, or a sibling's of the same suspect and image
// that wrote the Rollback's own places.
func commitOf(w *World) (TrailerCommit, bool) {
	if w.Branch == nil || w.Rollback.Status.Suspect == nil {
		return TrailerCommit{}, false
	}
	for _, t := range w.Branch.Commits {
		if ownCommit(w, t) {
			return t, true
		}
	}
	for _, t := range w.Branch.Commits {
		if siblingCommit(w, t) && serves(w, t) {
			return t, true
		}
	}
	return TrailerCommit{}, false
}

// ownCommit reports whether the Rollback itself made a revert. Clusters of one name are told apart by their UID.
func ownCommit(w *World, t TrailerCommit) bool {
	return t.Kind == TrailerRevert && slices.Contains(t.Rollbacks, w.Self) && sameCluster(w.Cluster, t)
}

// sameCluster is true where either side does not know its cluster's UID.
func sameCluster(uid string, t TrailerCommit) bool {
	return uid == "" || t.Cluster == "" || uid == t.Cluster
}

// siblingCommit reports whether a commit reverts the same image of the same suspect, or anything of it where files
// go back: which of them its places tell.
func siblingCommit(w *World, t TrailerCommit) bool {
	s := w.Rollback.Status.Suspect
	return t.Kind == TrailerRevert && slices.Contains(t.Reverts, s.Commit) &&
		(s.ByFiles() || slices.Contains(t.Images, w.Rollback.Spec.Subject.Name))
}

// serves reports whether a sibling's revert holds all of the Rollback's places that hold the bad value, and at
// least one of its places. One that names no places serves only where none holds the bad value and the target is there.
func serves(w *World, t TrailerCommit) bool {
	s := &w.Rollback.Status
	if len(t.Places) == 0 {
		st := stand(s, w.Branch)
		return st.bad == 0 && (s.Target == nil || len(s.Target.Values) == 0 || st.target > 0)
	}
	wrote := false
	for i, n := range s.Suspect.Places {
		in := slices.Contains(t.Places, PlaceID(n.File, n.Pointer))
		if !in && w.Branch.Values[int32(i)] == n.Bad {
			return false
		}
		wrote = wrote || in
	}
	return wrote
}

// stands reports whether the revert that the Rollback knows is on the branch still: the commit itself, or one like it
// that somebody moved.
func stands(w *World) bool {
	if _, ok := commitOf(w); ok {
		return true
	}
	s := &w.Rollback.Status
	return slices.ContainsFunc(w.Branch.Commits, func(t TrailerCommit) bool {
		known := t.Commit == s.Change.Commit || s.Landed != nil && t.Commit == s.Landed.Commit
		return t.Kind == TrailerRevert && (known || len(t.Places) == 0 && siblingCommit(w, t))
	})
}

func landings(s *v1alpha1.RollbackStatus) int32 {
	if s.Landed == nil {
		return 0
	}
	return s.Landed.Again
}

func markersOf(s *v1alpha1.Suspect) []string {
	var out []string
	for _, n := range s.Places {
		if n.Marker != "" && !slices.Contains(out, n.Marker) {
			out = append(out, n.Marker)
		}
	}
	return out
}

// badInWords is what Git says that goes back, in words.
func badInWords(w *World) string {
	if s := w.Rollback.Status.Suspect; s.ByFiles() {
		return "what " + text.Short(s.Commit) + " changed"
	}
	return w.Rollback.Spec.Subject.Name
}

// overtaken says what Git says in place of what somebody changed by hand.
func overtaken(w *World) string {
	s := &w.Rollback.Status
	tip := s.Suspect.Branch + " at " + text.Short(w.Branch.Tip)
	if t := s.Target; t != nil && len(t.Values) > 0 && !slices.ContainsFunc(t.Values, func(v v1alpha1.PlaceValue) bool {
		return w.Branch.Values[v.Index] != v.Value
	}) {
		return fmt.Sprintf("%s no longer says %s: it says %s now, as it was set by hand", tip, w.Rollback.Spec.Subject.Name,
			t.Image)
	}
	return fmt.Sprintf("%s no longer says %s: what was changed by hand is compared with what it says now", tip,
		w.Rollback.Spec.Subject.Name)
}

// superseded ends what the branch does not say any more.
func superseded(w *World) Step {
	s := &w.Rollback.Status
	if s.Suspect.ByFiles() {
		// Whether that mends it is seen once Flux has applied it.
		who := "Flux says"
		if w.Rollback.OfWorkload() {
			who = "its pods tell"
		}
		return end(w, v1alpha1.ResultReportedOnly, "%s at %s no longer says what %s changed, so nothing is reverted: %s "+
			"whether that mends it", s.Suspect.Branch, text.Short(w.Branch.Tip), text.Short(s.Suspect.Commit), who)
	}
	if s.ByHandAlone() {
		return end(w, v1alpha1.ResultSuperseded, "%s", overtaken(w))
	}
	return end(w, v1alpha1.ResultSuperseded, "%s at %s no longer says %s: nothing to revert",
		s.Suspect.Branch, text.Short(w.Branch.Tip), badInWords(w))
}
