package reconcile

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// errFull means that a namespace has as many Rollbacks as are kept of one.
var errFull = errors.New("the namespace has as many Rollbacks as are kept")

// maxSubject is how long the name of a subject may be.
const maxSubject = 1024

// fullAgain is how long a failure waits that finds no room for its record.
const fullAgain = time.Minute

// crowdedKeep is how long ended Rollbacks are kept where a namespace is nearly full.
const crowdedKeep = time.Hour

// full reports whether a namespace has no room for another Rollback.
func (e *Engine) full(namespace string) bool {
	return e.MaxRecords > 0 && e.Count != nil && e.Count(namespace) >= e.MaxRecords
}

// room reports whether a Rollback may be opened for a key. What finds none is counted and told, and leaves no object.
func (e *Engine) room(key Key) error {
	if n := len(key.Subject.Name); n > maxSubject {
		// No registry and no kubelet takes such a reference.
		e.Log.Warn("no Rollback is opened: the name is too long for one", "namespace", key.Namespace,
			"subject", cut(key.Subject.Name, 100), "characters", n, "most", maxSubject)
		return errFull
	}
	if !e.full(key.Namespace) {
		return nil
	}
	if e.TellFull != nil {
		e.TellFull(key.Namespace, key.Subject.String(), e.MaxRecords)
	}
	return errFull
}

// crowded are the oldest ended Rollbacks of namespaces that are nearly full: they make room for what fails now.
func (e *Engine) crowded(all []v1alpha1.Rollback) map[types.UID]bool {
	out := map[types.UID]bool{}
	if e.MaxRecords == 0 {
		return out
	}
	by := map[string][]*v1alpha1.Rollback{}
	for i := range all {
		by[all[i].Namespace] = append(by[all[i].Namespace], &all[i])
	}
	for _, rs := range by {
		over := len(rs) - e.MaxRecords*3/4
		rs = slices.DeleteFunc(rs, func(r *v1alpha1.Rollback) bool { return !r.Status.Ended() || r.Status.HoldStands() })
		slices.SortFunc(rs, func(a, b *v1alpha1.Rollback) int {
			return cmp.Or(a.Status.Outcome.At.Compare(b.Status.Outcome.At.Time), cmp.Compare(a.Name, b.Name))
		})
		for _, r := range rs[:min(max(over, 0), len(rs))] {
			out[r.UID] = true
		}
	}
	return out
}
