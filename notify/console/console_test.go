package console

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func record(change func(*v1alpha1.RollbackStatus)) *v1alpha1.Rollback {
	r := &v1alpha1.Rollback{}
	r.Namespace, r.Name, r.Spec.Subject = "production", "backend-1", v1alpha1.ImageSubject("reg/backend:v2")
	change(&r.Status)
	return r
}

func at() time.Time { return time.Date(2026, 11, 21, 9, 13, 26, 0, time.UTC) }

func TestNewsAreLines(t *testing.T) {
	var out bytes.Buffer
	teller := New(&out, at)
	nothing := record(func(*v1alpha1.RollbackStatus) {})
	teller.Tell(nothing, nothing)
	teller.Tell(nothing, record(func(s *v1alpha1.RollbackStatus) {
		s.Failures = []v1alpha1.Failure{{Trigger: v1alpha1.TriggerImagePull, Workload: v1alpha1.Workload{Kind: "Deployment", Name: "backend"}, Cause: "NotFound",
			Message: "a\x1b[2Jb\r\nc\u202ed"}}
	}))
	teller.Stop()
	want := "09:13:26 ! production/backend-1  ImageFailing      Deployment/backend cannot have reg/backend:v2 (NotFound): a [2Jb  c d\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

type stuck struct{ free chan struct{} }

func (s stuck) Write(p []byte) (int, error) { <-s.free; return len(p), nil }

func TestATerminalThatHangsHoldsNothingUp(t *testing.T) {
	s := stuck{make(chan struct{})}
	teller := New(s, at)
	for range 2 * waiting {
		teller.Tell(record(func(*v1alpha1.RollbackStatus) {}), record(func(s *v1alpha1.RollbackStatus) {
			s.Outcome = &v1alpha1.Outcome{Result: "Verified", Message: strings.Repeat("x", 10)}
		}))
	}
	close(s.free)
	teller.Stop()
}
