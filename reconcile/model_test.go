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
		if len(m.branch[i].brought(m.branch[i-1], v)) > 0 {
			return m.branch[i].id
		}
	}
	return m.branch[0].id
}

// Flux.

func (m *model) origin() Origin { return m.originWith(nil) }

func (m *model) Origin(_ context.Context, ns string, _ v1alpha1.Workload, with *types.NamespacedName, _ time.Time) (Origin, error) {
	return m.of(ns).originWith(with), nil
}

func (m *model) Reopen(_ context.Context, ns string, _ v1alpha1.Suspect, with *types.NamespacedName, _ time.Time) (Origin, error) {
	return m.of(ns).originWith(with), nil
}

func (m *model) Automated(context.Context) ([]Origin, error) { return []Origin{m.origin()}, nil }

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
	landed := m.tip().id
	if rb.Status.Landed != nil {
		landed = rb.Status.Landed.Commit
	}
	ok, err := contains(m.tip().id, landed)
	out := Rollout{Contains: ok, Fetched: ok, Way: m.way(landed)}
	for i, n := range m.tip().places() {
		out.Workloads = append(out.Workloads, WorkloadState{
			Workload: runners[i], Images: map[string]string{"app": n.value}, Complete: m.started[n.value],
		})
	}
	return out, err
}

// Registry.

func (m *model) Prove(_ context.Context, q Question) Proof {
	m.asksWith(q)
	out := Proof{Finding: FindingAbsent, Cause: cmp.Or(m.absence, v1alpha1.CauseNotFound), Sentence: q.Image + " is not there", At: m.now}
	switch {
	case m.dark, q.Image == "":
		out = Proof{Finding: FindingUnproved, Sentence: "503", At: m.now}
	case m.present[q.Image]:
		out = Proof{Finding: FindingPresent, Sentence: q.Image + " is there", At: m.now}
	}
	if m.heard != nil {
		m.heard[q.Image] = out
	}
	return out
}

// Git.

func (m *model) Blame(_ context.Context, _ Source, q Query) (v1alpha1.Suspect, error) {
	for i := len(m.branch) - 1; i > 0; i-- {
		c, p := m.branch[i], m.branch[i-1]
		at := slices.DeleteFunc(c.brought(p, q.Image), func(i int) bool {
			return q.Workload.Name != "" && q.Workload.Name != runners[i].Name
		})
		if len(at) == 0 || c.trail != nil {
			continue
		}
		out := v1alpha1.Suspect{Commit: c.id, Parent: p.id, When: v1alpha1.NewTime(c.when), OnlyImages: true}
		if !c.person {
			out.Automation = &v1alpha1.ObjectRef{Kind: "ImageUpdateAutomation", Namespace: m.ns, Name: "a"}
		}
		for _, i := range at {
			out.Places = append(out.Places, v1alpha1.Place{File: m.file(i), Pointer: "/image", Part: "Image", Bad: q.Image,
				Former: p.places()[i].value, Marker: m.ns + ":app"})
		}
		return out, nil
	}
	return v1alpha1.Suspect{}, Refuse("%s is not in Git", q.Image)
}

func (m *model) Former(_ context.Context, _ Source, s v1alpha1.Suspect, _ int) ([]Former, error) {
	var out []Former
	seen := false
	for _, c := range slices.Backward(m.branch) {
		f := Former{Commit: c.id}
		for k, p := range s.Places {
			v := c.places()[m.index(p)].value
			if f.Values = append(f.Values, v1alpha1.PlaceValue{Index: int32(k), Value: v}); v == p.Bad {
				seen, f.Values = seen || c.id == s.Commit, nil
				break
			}
			if k == 0 {
				f.Image = v
			} else if f.Image != v {
				f.Image = ""
			}
		}
		if seen && f.Values != nil {
			out = append(out, f)
		}
		seen = seen || c.id == s.Commit
	}
	return out, nil
}

// look reads trailer commits back to the suspect, or to a time, whichever is longer ago.
func (m *model) look(s v1alpha1.Suspect, t *v1alpha1.Target, since time.Time) Branch {
	b := Branch{Tip: m.tip().id, Values: map[int32]string{}, Held: map[int32]Hold{}}
	for k, p := range s.Places {
		n := m.tip().places()[m.index(p)]
		b.Values[int32(k)] = n.value
		if n.held {
			b.Held[int32(k)] = Hold{Policy: m.ns + ":app"}
		}
	}
	holds := func(c commit) bool {
		return t != nil && len(t.Values) > 0 && !slices.ContainsFunc(t.Values, func(v v1alpha1.PlaceValue) bool {
			return c.places()[m.index(s.Places[v.Index])].value != v.Value
		})
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
		if after && holds(c) && holds(m.tip()) {
			b.HoldsTarget = c.id
		}
	}
	return b
}

func (m *model) Look(_ context.Context, _ Source, s v1alpha1.Suspect, t *v1alpha1.Target, since time.Time) (Branch, error) {
	return m.look(s, t, since), nil
}

func (m *model) Images(context.Context, Source, Wanted) (images, why map[string]string, err error) {
	return nil, nil, errors.New("not asked")
}

func (m *model) Holds(context.Context, Source, []Root) ([]Hold, error) { return nil, nil }

func (m *model) Propose(context.Context, Source, Onto, []Revert) (Proposed, error) {
	return Proposed{}, errors.New("the model's branch takes every push")
}

func (m *model) Contains(_ context.Context, _ Source, tip, c string) (bool, error) {
	at := slices.IndexFunc(m.branch, func(x commit) bool { return x.id == tip })
	return slices.ContainsFunc(m.branch[:at+1], func(x commit) bool { return x.id == c }), nil
}
