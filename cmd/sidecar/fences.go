package main

import (
	"context"
	"errors"
	"time"

	"github.com/backstop-dev/backstop/reconcile/kube"
)

// guardEvery is how often the admission policies are looked at, and guardAgain after the API server did not answer.
const guardEvery, guardAgain = 10 * time.Minute, 10 * time.Second

// guard looks at the start, and from then on, whether the admission policies are there: without them everything works
// as before, and what they forbid is allowed. What stands and falls is said once.
func (s *sidecar) guard(ctx context.Context) {
	said := map[string]string{}
	for next := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
		all, err := kube.ReadFences(ctx, s.live)
		if next = guardEvery; err != nil {
			next = guardAgain
			if !errors.Is(err, context.Canceled) {
				s.log.Warn("look at the admission policies", "error", err)
			}
		}
		for _, f := range all {
			s.fence(f, said)
		}
	}
}

// fence serves how an admission policy stands, and describes what was not said before.
func (s *sidecar) fence(f kube.Fence, said map[string]string) {
	says := f.Why + f.Unread
	before, known := said[f.Name]
	said[f.Name] = says
	log := s.log.With("policy", f.Name)
	switch {
	case f.Unread != "":
		s.fences.DeleteLabelValues(f.Name)
		if says != before {
			log.Warn("nobody knows whether the admission policy is there", "backstop", f.Unread)
		}
	case f.Stands:
		s.fences.WithLabelValues(f.Name).Set(1)
		if known && before != "" {
			log.Info("the admission policy is there again")
		}
	default:
		s.fences.WithLabelValues(f.Name).Set(0)
		if says != before {
			log.Error("an admission policy is missing, so that more may be written than should be: apply "+
				"deploy/kustomize/admission", "why", f.Why)
		}
	}
}
