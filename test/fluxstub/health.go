package fluxstub

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// canceledError means that a health check was given up for a new reconciliation, what triggered that, and by what.
type canceledError struct{ trigger, by string }

func (e *canceledError) Error() string {
	return "health checks canceled due to new reconciliation triggered by " + e.trigger
}

// waitHealthy looks at objects until all are current, one has failed for good, something triggers a new reconciliation
// (where the gate is on), or the time is over; its error names those that are not, as Flux does.
func (s *stand) waitHealthy(ctx context.Context, objects []*unstructured.Unstructured, timeout time.Duration,
	trigger func(context.Context) *canceledError,
) error {
	deadline := time.Now().Add(timeout)
	for {
		if s.CancelHealthChecks {
			if canceled := trigger(ctx); canceled != nil {
				return canceled
			}
		}
		waiting, failed, err := s.unhealthy(ctx, objects)
		switch {
		case err != nil:
			return err
		case len(failed) > 0:
			return fmt.Errorf("failed early due to stalled resources: [%s]", strings.Join(failed, ", "))
		case len(waiting) == 0:
			return nil
		case !time.Now().Before(deadline):
			return fmt.Errorf("timeout waiting for: [%s]", strings.Join(waiting, ", "))
		}
		// The more there is to look at, the less often.
		pause := min(s.HealthPoll+time.Duration(len(objects))*5*time.Millisecond, max(time.Until(deadline), time.Millisecond))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// triggered describes what enqueued an object since it was read, by a new spec or by a request; nil while nothing has.
func (s *stand) triggered(ctx context.Context, kind string, was, now client.Object) *canceledError {
	key := client.ObjectKeyFromObject(was)
	switch {
	case s.client.Get(ctx, key, now) != nil:
	case now.GetGeneration() != was.GetGeneration():
		return &canceledError{kind + "/" + key.String(), "spec"}
	case asks(was, now):
		return &canceledError{kind + "/" + key.String(), "request"}
	}
	return nil //nolint:nilerr // what cannot be read has enqueued nothing
}

// unhealthy names the objects that are not current yet and those that will not be.
func (s *stand) unhealthy(ctx context.Context, objects []*unstructured.Unstructured,
) (waiting, failed []string, err error) {
	for _, o := range objects {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(o.GroupVersionKind())
		is := status.NotFoundStatus
		if err := s.client.Get(ctx, client.ObjectKeyFromObject(o), live); err == nil {
			result, err := status.Compute(live)
			if err != nil {
				return nil, nil, fmt.Errorf("compute the status of %s: %w", o.GetName(), err)
			}
			is = result.Status
		} else if !apierrors.IsNotFound(err) {
			return nil, nil, fmt.Errorf("read %s: %w", o.GetName(), err)
		}
		says := fmt.Sprintf("%s/%s/%s status: '%s'", o.GetKind(), o.GetNamespace(), o.GetName(), is)
		switch is {
		case status.CurrentStatus:
		case status.FailedStatus:
			failed = append(failed, says)
		default:
			waiting = append(waiting, says)
		}
	}
	slices.Sort(waiting)
	return waiting, failed, nil
}
