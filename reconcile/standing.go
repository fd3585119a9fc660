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

// removes reports whether the target is that the node is not there.
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

// ownTrail reports whether the form itself made a revert. Clusters of one name are told apart by their UID.
func ownTrail(w *World, t Trail) bool {
	return t.Kind == TrailRevert && slices.Contains(t.Rollbacks, w.Self) && sameCluster(w.Cluster, t)
}

// sameCluster is true where either side does not know its cluster's UID.
func sameCluster(uid string, t Trail) bool { return uid == "" || t.Cluster == "" || uid == t.Cluster }

// siblingTrail reports whether a revert took back the same image from the same suspect, or anything of it where files
// go back: which of them its places tell.
func siblingTrail(w *World, t Trail) bool {
	s := w.Form.Status.Suspect
	return t.Kind == TrailRevert && slices.Contains(t.Reverts, s.Commit) &&
		(s.ByFiles() || slices.Contains(t.Images, w.Form.Spec.Subject.Name))
}

// serves reports whether a sibling's revert took back all of the form's places that hold the bad value, and at least
// one of its places. One that names no places serves only where none holds the bad value and the target is there.
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

// stands reports whether the revert that the form knows is on the branch still: the commit itself, or one like it that
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

func landings(s *v1alpha1.RollbackStatus) int32 {
	if s.Landed == nil {
		return 0
	}
	return s.Landed.Again
}

func markersOf(s *v1alpha1.Suspect) []string {
	var out []string
	for _, n := range s.Nodes {
		if n.Marker != "" && !slices.Contains(out, n.Marker) {
			out = append(out, n.Marker)
		}
	}
	return out
}

// badInWords is what Git says that goes back, in words.
func badInWords(w *World) string {
	if s := w.Form.Status.Suspect; s.ByFiles() {
		return "what " + text.Short(s.Commit) + " changed"
	}
	return w.Form.Spec.Subject.Name
}

// overtaken says what Git says in place of what somebody changed by hand.
func overtaken(w *World) string {
	s := &w.Form.Status
	tip := s.Suspect.Branch + " at " + text.Short(w.Branch.Tip)
	if t := s.Target; t != nil && len(t.Values) > 0 && !slices.ContainsFunc(t.Values, func(v v1alpha1.NodeValue) bool {
		return w.Branch.Values[v.Index] != v.Value
	}) {
		return fmt.Sprintf("%s no longer says %s: it says %s now, as it was set by hand", tip, w.Form.Spec.Subject.Name,
			t.Image)
	}
	return fmt.Sprintf("%s no longer says %s: what was changed by hand is compared with what it says now", tip,
		w.Form.Spec.Subject.Name)
}

// superseded ends what the branch does not say any more.
func superseded(w *World) Step {
	s := &w.Form.Status
	if s.Suspect.ByFiles() {
		// Whether that mends it Flux reports when it has applied it.
		return end(w, v1alpha1.ResultReportedOnly, "%s at %s no longer says what %s changed, so nothing is taken back: Flux "+
			"says whether that mends it", s.Suspect.Branch, text.Short(w.Branch.Tip), text.Short(s.Suspect.Commit))
	}
	if byHandAlone(s) {
		return end(w, v1alpha1.ResultSuperseded, "%s", overtaken(w))
	}
	return end(w, v1alpha1.ResultSuperseded, "%s at %s no longer says %s: nothing to take back",
		s.Suspect.Branch, text.Short(w.Branch.Tip), badInWords(w))
}
