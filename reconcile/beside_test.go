package reconcile

import (
	"context"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// openRecords are Rollbacks that have not ended.
type openRecords struct {
	Records
	all []v1alpha1.Rollback
}

func (o openRecords) Open(context.Context) ([]v1alpha1.Rollback, error) { return o.all, nil }

func TestARolloutWaitsForAnotherBadImageUntilThatHasLanded(t *testing.T) {
	of := func(ns, image, workload string, vary func(*v1alpha1.RollbackStatus)) v1alpha1.Rollback {
		var r v1alpha1.Rollback
		r.Namespace, r.Name = ns, image
		r.Spec.Subject = v1alpha1.Subject{Kind: "Image", Name: image}
		r.Status.Failures = []v1alpha1.Failure{{Workload: v1alpha1.Workload{Kind: "Deployment", Name: workload}}}
		if vary != nil {
			vary(&r.Status)
		}
		return r
	}
	mine := of("prod", "backend", "web", nil)
	for name, tt := range map[string]struct {
		other v1alpha1.Rollback
		want  string
	}{
		"another image of the workload":   {of("prod", "sidecar", "web", nil), "sidecar"},
		"the same image":                  {of("prod", "backend", "web", nil), ""},
		"another workload":                {of("prod", "sidecar", "worker", nil), ""},
		"a workload of another namespace": {of("staging", "sidecar", "web", nil), ""},
		"one that ended":                  {of("prod", "sidecar", "web", func(s *v1alpha1.RollbackStatus) { s.Outcome = &v1alpha1.Outcome{} }), ""},
		"one whose revert is on its way as well": {of("prod", "sidecar", "web", func(s *v1alpha1.RollbackStatus) {
			s.Landed = &v1alpha1.Landed{}
		}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := &Engine{Records: openRecords{all: []v1alpha1.Rollback{mine, tt.other}}}
			if got, err := e.beside(t.Context(), &mine); err != nil || got != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}
