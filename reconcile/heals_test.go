package reconcile

import (
	"context"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// refusing is a Git that refuses the first blames and pushes.
type refusing struct {
	*model
	kind          FaultKind
	blames, lands int
}

func (r *refusing) refusal() error {
	return RefuseAs(r.kind, "push main of https://git.example/fleet: the server does not accept the credentials: check the Secret")
}

func (r *refusing) Blame(ctx context.Context, s Source, q Query) (v1alpha1.Suspect, error) {
	if r.blames > 0 {
		r.blames--
		return v1alpha1.Suspect{}, r.refusal()
	}
	return r.model.Blame(ctx, s, q)
}

func (r *refusing) Land(ctx context.Context, s Source, all []Revert) ([]Landing, error) {
	if r.lands > 0 {
		r.lands--
		return nil, r.refusal()
	}
	return r.model.Land(ctx, s, all)
}

func TestARefusalThatHealsIsNotForEver(t *testing.T) {
	for name, tt := range map[string]struct {
		kind          FaultKind
		blames, lands int
		reverted      bool
	}{
		"a token that is refused at the push":    {FaultUnauthorized, 0, 1, true},
		"a token that is refused at the blame":   {FaultForbidden, 2, 0, true},
		"a repository that is hidden for a time": {FaultNotFound, 3, 3, true},
		"a proxy that wants another password":    {FaultProxy, 1, 1, true},
		"a captive portal":                       {FaultRedirected, 1, 1, true},
		"a hook's no is for ever":                {FaultDeclined, 0, 1, false},
		"what content says is for ever":          {"", 0, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			m.elected = imgBad
			m.writeBack()
			m.rollOut()
			git := &refusing{model: m, kind: tt.kind, blames: tt.blames, lands: tt.lands}
			e := m.engine("prod", Budget{})
			e.Git = git
			for range 60 { // an hour, and the pods fail all the time
				m.walk(t, e)
				m.now = m.now.Add(time.Minute)
			}
			if reverted := m.tip().value != imgBad; reverted != tt.reverted {
				t.Errorf("reverted: %v, want %v, after an hour\n%s", reverted, tt.reverted, m.story())
			}
		})
	}
}
