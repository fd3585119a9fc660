package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// introduced names the newest commit that brought a value in.
func (m *model) introduced(v string) string {
	for i := len(m.branch) - 1; i > 0; i-- {
		if m.branch[i].value == v && m.branch[i-1].value != v {
			return m.branch[i].id
		}
	}
	return m.branch[0].id
}

// Flux.

func (m *model) origin() Origin {
	auto := v1alpha1.ObjectRef{Kind: "ImageUpdateAutomation", Namespace: m.ns, Name: "a"}
	return Origin{
		Source:   Source{Name: types.NamespacedName{Namespace: "flux-system", Name: "fleet"}, Branch: "main"},
		Policies: []ImagePolicy{{Name: m.ns + ":app", Latest: m.selected, Automation: &auto}},
	}
}

func (m *model) Origin(context.Context, string, v1alpha1.Workload, *types.NamespacedName, time.Time) (Origin, error) {
	return m.origin(), nil
}

func (m *model) Reopen(context.Context, string, v1alpha1.Suspect, *types.NamespacedName, time.Time) (Origin, error) {
	return m.origin(), nil
}

func (m *model) Automated(context.Context) ([]Origin, error) { return []Origin{m.origin()}, nil }

func (m *model) Access(context.Context, string, string, string) (Access, error) { return Access{}, nil }

func (m *model) Request(context.Context, []v1alpha1.ObjectRef, string) error {
	return m.write(func() error { return nil })
}

func (m *model) Ask(_ context.Context, s Stop, token string) error {
	if m.token[s.Object] == token {
		return nil
	}
	if s.Busy || s.Object.Kind == "Kustomization" && m.checking {
		return fmt.Errorf("INVARIANT: %s is asked in the middle of its health check", s.Object)
	}
	if s.Version != fmt.Sprint(m.asks) {
		return ErrConflict
	}
	return m.write(func() error {
		m.asks++
		m.token[s.Object] = token
		return nil
	})
}

// way is a source and a Kustomization, which is at work as long as the schedule says.
func (m *model) way(landed string) []Stop {
	holds := func(tip string) bool {
		at := slices.IndexFunc(m.branch, func(x commit) bool { return x.id == tip })
		return slices.ContainsFunc(m.branch[:at+1], func(x commit) bool { return x.id == landed })
	}
	repo := v1alpha1.ObjectRef{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}
	apps := v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}
	version := fmt.Sprint(m.asks)
	return []Stop{
		{Object: repo, Version: version, Reached: true, Deaf: true, Taken: holds(m.fetched), Token: m.token[repo]},
		{Object: apps, Version: version, Reached: holds(m.fetched), Taken: holds(m.applied), Busy: m.checking, Token: m.token[apps]},
	}
}

func (m *model) Applied(context.Context, string, v1alpha1.Workload, time.Time) (Applied, error) {
	return Applied{}, errors.New("not asked")
}

func (m *model) Rollout(_ context.Context, rb *v1alpha1.Rollback, contains func(string, string) (bool, error)) (Rollout, error) {
	ok, err := contains(m.tip().id, rb.Status.Landed.Commit)
	v := m.tip().value
	return Rollout{Contains: ok, Fetched: ok, Way: m.way(rb.Status.Landed.Commit), Workloads: []WorkloadState{{
		Workload: v1alpha1.Workload{Kind: "Deployment", Name: "app", UID: "w"},
		Images:   map[string]string{"app": v}, Complete: m.started[v],
	}}}, err
}

// Registry.

func (m *model) Prove(_ context.Context, q Question) Proof {
	switch {
	case m.dark:
		return Proof{Finding: FindingUnproved, Sentence: "503", At: m.now}
	case m.present[q.Image]:
		return Proof{Finding: FindingPresent, Sentence: q.Image + " is there", At: m.now}
	}
	return Proof{Finding: FindingAbsent, Cause: cmp.Or(m.absence, v1alpha1.CauseNotFound), Sentence: q.Image + " is not there", At: m.now}
}

// Git.

func (m *model) Blame(_ context.Context, _ Source, q Query) (v1alpha1.Suspect, error) {
	for i := len(m.branch) - 1; i > 0; i-- {
		c, p := m.branch[i], m.branch[i-1]
		if c.value == q.Image && p.value != q.Image && c.trail == nil {
			auto := &v1alpha1.ObjectRef{Kind: "ImageUpdateAutomation", Namespace: m.ns, Name: "a"}
			if c.person {
				auto = nil
			}
			return v1alpha1.Suspect{
				Commit: c.id, Parent: p.id, When: v1alpha1.NewTime(c.when), Automation: auto, OnlyImages: true,
				Places: []v1alpha1.Place{{File: m.dir + "/app.yaml", Pointer: "/image", Part: "Image", Bad: c.value, Former: p.value,
					Marker: m.ns + ":app"}},
			}, nil
		}
	}
	return v1alpha1.Suspect{}, Refuse("%s is not in Git", q.Image)
}

func (m *model) Former(_ context.Context, _ Source, s v1alpha1.Suspect, _ int) ([]Former, error) {
	var out []Former
	seen := false
	for i := len(m.branch) - 1; i >= 0; i-- {
		c := m.branch[i]
		if seen && c.value != s.Places[0].Bad {
			out = append(out, Former{Commit: c.id, Image: c.value, Values: []v1alpha1.PlaceValue{{Value: c.value}}})
		}
		seen = seen || c.id == s.Commit
	}
	return out, nil
}

// look reads trailer commits back to the suspect, or to a time, whichever is longer ago.
func (m *model) look(s v1alpha1.Suspect, t *v1alpha1.Target, since time.Time) Branch {
	b := Branch{Tip: m.tip().id, Values: map[int32]string{0: m.tip().value}, Held: map[int32]Hold{}}
	if m.tip().held {
		b.Held[0] = Hold{Policy: m.ns + ":app"}
	}
	further := !since.IsZero() && since.Before(s.When.Time)
	after := true
	for _, c := range slices.Backward(m.branch) {
		after = after && c.id != s.Commit
		if !after && (!further || c.when.Before(since)) {
			break
		}
		if c.trail != nil {
			tr := *c.trail
			tr.Commit, tr.When = c.id, c.when
			b.Commits = append(b.Commits, tr)
		}
		if after && t != nil && len(t.Values) > 0 && c.value == t.Values[0].Value && m.tip().value == t.Values[0].Value {
			b.HoldsTarget = c.id
		}
	}
	return b
}

func (m *model) Look(_ context.Context, _ Source, s v1alpha1.Suspect, t *v1alpha1.Target, since time.Time) (Branch, error) {
	return m.look(s, t, since), nil
}

func (m *model) Land(_ context.Context, _ Source, reverts []Revert) ([]Landing, error) {
	out := make([]Landing, len(reverts))
	if m.slowStops && len(reverts) > 0 && reverts[0].Permit(m.look(reverts[0].Suspect, &reverts[0].Target, reverts[0].Since)) == nil {
		// The plan takes seconds, and somebody suspends the policy meanwhile: what is sent is asked for once more.
		m.slowStops, m.suspended = false, true
		m.now = m.now.Add(3 * time.Second)
		if err := reverts[0].Still(); err == nil {
			m.broke = append(m.broke, reverts[0].Rollback+" is sent on a permit of three seconds ago")
		}
	}
	err := m.write(func() error {
		if m.raceNext {
			// Somebody else pushes first: everything is planned again on the new tip.
			m.raceNext = false
			for _, r := range reverts {
				_ = r.Permit(m.look(r.Suspect, &r.Target, r.Since))
			}
			other := m.tip().value
			if m.raceMends {
				other, m.raceMends = "reg.local/app:p0", false
				m.present[other] = true
			}
			m.push(commit{value: other, held: m.tip().held})
			m.suspended, m.raceStops = m.suspended || m.raceStops, false
		}
		trail := TrailerCommit{Kind: TrailerRevert, Cluster: m.clusterUID}
		for i, r := range reverts {
			if err := r.Permit(m.look(r.Suspect, &r.Target, r.Since)); err != nil {
				out[i].Err = err
				continue
			}
			if r.Proof != nil {
				if err := r.Proof(context.Background(), nil, nil); err != nil {
					out[i].Err = err
					continue
				}
			}
			if err := errors.Join(m.mayWrite(), m.mayRevert(r.Suspect), m.undoes(r)); err != nil {
				m.broke = append(m.broke, fmt.Sprintf("%s is pushed: %s", r.Rollback, err))
			}
			trail.Places = append(trail.Places, PlaceID(r.Suspect.Places[0].File, r.Suspect.Places[0].Pointer))
			trail.Rollbacks = append(trail.Rollbacks, r.Rollback)
			trail.Images = append(trail.Images, r.Image)
			trail.Workloads = append(trail.Workloads, r.Workloads...)
			trail.Reverts = append(trail.Reverts, r.Suspect.Commit)
			out[i].Change = &v1alpha1.Change{Branch: "main", At: v1alpha1.NewTime(m.now)}
		}
		if len(trail.Rollbacks) == 0 {
			return nil
		}
		first := slices.IndexFunc(out, func(l Landing) bool { return l.Err == nil })
		m.push(commit{value: reverts[first].Target.Values[0].Value, trail: &trail})
		revert := m.tip().id
		if reverts[first].Suspect.ByFiles() {
			out[first].Change.Commit = revert
			return nil
		}
		hold := trail
		hold.Kind = TrailerHold
		m.push(commit{value: m.tip().value, held: true, trail: &hold})
		for i := range out {
			if out[i].Err == nil {
				m.reverts[reverts[i].Suspect.Commit+" "+reverts[i].Image]++
				out[i].Change.Commit, out[i].Change.Hold = revert, m.tip().id
				out[i].Change.Policies = []string{m.ns + ":app"}
				out[i].Holds = []v1alpha1.Hold{{Place: reverts[i].Suspect.Places[0].Identity()}}
			}
		}
		return nil
	})
	return out, err
}

func (m *model) Images(context.Context, Source, Wanted) (images, why map[string]string, err error) {
	return nil, nil, errors.New("not asked")
}

func (m *model) Holds(context.Context, Source, []Root) ([]Hold, error) { return nil, nil }

func (m *model) Propose(context.Context, Source, Onto, []Revert) (Proposed, error) {
	return Proposed{}, errors.New("the model's branch takes every push")
}

func (m *model) Lift(_ context.Context, _ Source, l Lift) (string, error) {
	var id string
	err := m.write(func() error {
		if !m.tip().held {
			return nil
		}
		// Somebody suspends the policy between the decision and the push.
		m.suspended, m.slowStops = m.suspended || m.slowStops, false
		if err := l.Permit(); err != nil {
			return err
		}
		if err := m.mayWrite(); err != nil {
			m.broke = append(m.broke, fmt.Sprintf("%s is lifted: %s", l.Rollback, err))
		}
		m.push(commit{value: m.tip().value, trail: &TrailerCommit{Kind: TrailerLift, Cluster: m.clusterUID, Rollbacks: []string{l.Rollback}}})
		id = m.tip().id
		return nil
	})
	return id, err
}

func (m *model) Contains(_ context.Context, _ Source, tip, c string) (bool, error) {
	at := slices.IndexFunc(m.branch, func(x commit) bool { return x.id == tip })
	return slices.ContainsFunc(m.branch[:at+1], func(x commit) bool { return x.id == c }), nil
}
