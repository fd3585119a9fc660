package gate

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/reconcile"
)

// attempts is how often a registry is asked that gives no answer, and pause the time in between.
const (
	attempts = 3
	pause    = time.Second
)

// maxTags of a repository that are listed.
const maxTags = 10_000

// asker asks registries about the images of a report.
type asker struct {
	o      *Options
	report *report.Report
	// uses by image.
	uses map[string][]report.Use

	mu   sync.Mutex
	done int
	// tags of the repositories that were listed.
	tags map[string]*tagList
}

// at puts a finding about an image to every place that uses it.
func (a *asker) at(f report.Finding) []report.Finding {
	var out []report.Finding
	for _, use := range a.uses[f.Image] {
		f.File, f.Line = use.File, use.Line
		out = append(out, f)
	}
	return out
}

func host(image string) string {
	full, _, _ := strings.Cut(fullName(image), "/")
	return full
}

// prove asks until there is an answer, as long as the registry wishes and patience lasts.
func (a *asker) prove(ctx context.Context, image string, access reconcile.Access) reconcile.Proof {
	start := a.o.Now()
	q := reconcile.Question{Image: image, Platforms: a.o.Platforms, Deep: a.o.Deep, Access: access}
	for attempt := 1; ; attempt++ {
		proof := a.o.Registry.Prove(ctx, q)
		if proof.Finding != reconcile.FindingUnproved || attempt == attempts {
			return proof
		}
		switch proof.Cause {
		case v1alpha1.CauseRateLimited, v1alpha1.CauseRegistryUnavailable:
		default:
			return proof
		}
		wait := max(pause, a.o.Registry.Until(image).Sub(a.o.Now()))
		if a.o.Now().Add(wait).Sub(start) > a.o.Patience || !sleep(ctx, wait) {
			return proof
		}
	}
}

// sleep waits, and says false when the context ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// tagList is the tags of a repository, listed once.
type tagList struct {
	once sync.Once
	tags []string
	err  error
}

// list gives the tags of a repository.
func (a *asker) list(ctx context.Context, repository string, access reconcile.Access) ([]string, error) {
	a.mu.Lock()
	known := a.tags[repository]
	if known == nil {
		known = &tagList{}
		a.tags[repository] = known
	}
	a.mu.Unlock()
	known.once.Do(func() { known.tags, known.err = a.o.Registry.Tags(ctx, repository, access, maxTags) })
	return known.tags, known.err
}
