package deliver

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// What a pull request waits for by name is asked beside the pull request itself, in requests that cost something. It
// only explains, so that it is asked when the pull request changed, and seldom otherwise.

const (
	// asideLasts is how old such an answer may be while the pull request stays the same.
	asideLasts = 5 * time.Minute
	// maxAside is how many pull requests have one.
	maxAside = 200
	// maxNames is how many of those who may review are named for one rule.
	maxNames = 3
)

// beside is what was asked beside a pull request.
type beside struct {
	// told means that the provider answered. Decided says that reviews are among the waits, and Listed that checks are.
	told, decided, listed bool
	// queued means that it stands in a merge queue or on a merge train.
	queued bool
	waits  []v1alpha1.PullRequestWait
}

func (b *beside) wait(kind v1alpha1.PullRequestWaitKind, name string) {
	b.waits = append(b.waits, v1alpha1.PullRequestWait{Kind: kind, Name: name})
}

// asides keeps what was asked beside pull requests.
type asides struct {
	mu   sync.Mutex
	kept map[int64]*kept
}

type kept struct {
	of string
	at time.Time
	beside
}

// about gives what was asked beside a pull request while it was the same, or asks.
func (a *asides) about(number int64, of string, ask func() beside) beside {
	a.mu.Lock()
	defer a.mu.Unlock()
	if k := a.kept[number]; k != nil && k.of == of && time.Since(k.at) < asideLasts {
		return k.beside
	}
	if a.kept == nil || len(a.kept) >= maxAside {
		a.kept = map[int64]*kept{}
	}
	k := &kept{of: of, at: time.Now(), beside: ask()}
	slices.SortFunc(k.waits, func(a, b v1alpha1.PullRequestWait) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	k.waits = slices.Compact(k.waits)
	a.kept[number] = k
	return k.beside
}

// forget has the next look ask.
func (a *asides) forget(number int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.kept, number)
}

// inQueue is a pull request whose turn comes.
func inQueue(pr *reconcile.PullRequest) {
	pr.Merge, pr.Armed = reconcile.MergeWaits, true
	pr.Waits = []v1alpha1.PullRequestWait{{Kind: v1alpha1.WaitsForQueue}}
}

// without drops waits of some kinds.
func without(waits []v1alpha1.PullRequestWait, kinds ...v1alpha1.PullRequestWaitKind) []v1alpha1.PullRequestWait {
	return slices.DeleteFunc(waits, func(w v1alpha1.PullRequestWait) bool { return slices.Contains(kinds, w.Kind) })
}
