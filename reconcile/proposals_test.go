package reconcile

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// proposals is the model with a provider beside it: a branch of one pull request, which a squash brings to the deployed
// branch.
type proposals struct {
	*model
	spec v1alpha1.RollbackPolicySpec
	pr   *PullRequest
	// head of the pull request's branch, and who has been on it beside Backstop.
	head    string
	foreign bool
	// brings says what it makes of the deployed branch.
	brings                   string
	opened, merges, comments int
	away                     bool
	// lift is the pull request that lifts the hold.
	lift *PullRequest
	// incoming are others' open pull requests, and shut says of those that were closed why.
	incoming []Incoming
	shut     map[int64]string
	// signs means that the provider signs what is pushed, unsigned why it does not after all.
	signs    bool
	unsigned error
	// refuses is what a push is told, and unproposed one to the pull request's branch, where that is refused too.
	refuses, unproposed error
	// beside is the pull request of another deployed branch that has the first name.
	beside *PullRequest
	// logins that the provider was asked with.
	logins []string
	// meanwhile is what happens while the provider is read before it is written to; nil for nothing.
	meanwhile func()
}

// sends is what a provider's library does right before it sends what changes something.
func (p *proposals) sends(ctx context.Context) error {
	if p.meanwhile != nil {
		p.meanwhile()
	}
	return Permitted(ctx)
}

func (p *proposals) Lift(ctx context.Context, src Source, l Lift) (string, error) {
	if l.Onto == "" {
		return "", RefuseAs(FaultWantsPullRequest, "push main: the server refuses it: protected branch hook declined")
	}
	return "the head of the lift", l.Permit()
}

func (p *proposals) policies(all []v1alpha1.RollbackPolicy) []v1alpha1.RollbackPolicy {
	for i := range all {
		all[i].Spec.Delivery, all[i].Spec.PullRequest = p.spec.Delivery, p.spec.PullRequest
	}
	return all
}

func (p *proposals) Policies(ctx context.Context, ns string) ([]v1alpha1.RollbackPolicy, map[string]string, error) {
	all, labels, err := p.model.Policies(ctx, ns)
	return p.policies(all), labels, err
}

func (p *proposals) PoliciesNow(ctx context.Context, ns string) ([]v1alpha1.RollbackPolicy, map[string]string, error) {
	return p.Policies(ctx, ns)
}

func (p *proposals) Land(context.Context, Source, []Revert) ([]Landing, error) {
	if p.refuses != nil {
		return nil, p.refuses
	}
	return nil, RefuseAs(FaultWantsPullRequest, "push main: the server refuses it: protected branch hook declined")
}

func (p *proposals) Propose(_ context.Context, _ Source, onto Onto, reverts []Revert) (Proposed, error) {
	out := Proposed{Base: p.tip().id, Landings: make([]Landing, len(reverts)), Message: "Revert"}
	r := reverts[0]
	out.Landings[0].Err = r.Permit(p.look(r.Suspect, &r.Target, r.Since))
	if out.Landings[0].Err != nil {
		return out, nil //nolint:nilerr // a landing has its own error
	}
	if p.unproposed != nil {
		return out, p.unproposed
	}
	if p.foreign {
		return out, RefuseAs(FaultForeign, "%s has commit e, which is not Backstop's", onto.Branch)
	}
	err := p.write(func() error {
		if p.head == "" || onto.Rebuild {
			p.head, p.brings = "head of "+p.tip().id, r.Target.Values[0].Value
		}
		return nil
	})
	out.Head, out.Own = p.head, true
	return out, err
}

func (p *proposals) Find(_ context.Context, branch, base string) (*PullRequest, error) {
	if base == "" && p.beside != nil {
		return p.beside, nil
	}
	if strings.HasPrefix(branch, "backstop/lift-") {
		return p.lift, nil
	}
	return p.read()
}

func (p *proposals) Read(_ context.Context, number int64) (*PullRequest, error) {
	for _, in := range p.incoming {
		if in.Number == number {
			return &in.PullRequest, nil
		}
	}
	if number == 2 {
		out := *p.lift
		return &out, nil
	}
	return p.read()
}

func (p *proposals) Forget(int64) {}

func (p *proposals) Update(context.Context, *PullRequest, Proposal) error { return nil }

func (p *proposals) WantsPullRequest(context.Context, string) (*bool, error) { return nil, nil }

func (p *proposals) Opened(context.Context, string) (Opened, error) {
	if p.away {
		return Opened{}, errors.New("HTTP 502")
	}
	return Opened{PullRequests: slices.DeleteFunc(slices.Clone(p.incoming),
		func(in Incoming) bool { return p.shut[in.Number] != "" })}, nil
}

func (p *proposals) Verifies(context.Context) bool { return p.signs }

func (p *proposals) Verify(_ context.Context, _, head string) (string, error) {
	if p.unsigned != nil {
		return "", p.unsigned
	}
	p.head = "signed " + strings.TrimPrefix(head, "signed ")
	return p.head, nil
}

func (p *proposals) Rights(context.Context) (Rights, error) { return Rights{}, nil }

func (p *proposals) read() (*PullRequest, error) {
	if p.away {
		return nil, errors.New("HTTP 502")
	}
	if p.pr == nil {
		return nil, nil
	}
	out := *p.pr
	out.Head = p.head
	return &out, nil
}

// The provider's Open and the records' have one name.
type forgeOf struct{ *proposals }

func (f forgeOf) Open(ctx context.Context, of Proposal) (*PullRequest, error) {
	if err := f.sends(ctx); err != nil {
		return nil, err
	}
	if of.Story.Lifts {
		f.lift = &PullRequest{Number: 2, State: v1alpha1.PullRequestOpen, Merge: MergeWaits, Head: "the head of the lift"}
		return f.lift, nil
	}
	err := f.write(func() error {
		f.opened++
		f.pr = &PullRequest{Number: 1, URL: "https://git.example/pulls/1", State: v1alpha1.PullRequestOpen, Merge: MergeWaits}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f.read()
}

func (p *proposals) Merge(ctx context.Context, pr *PullRequest, order MergeOrder) (Merging, error) {
	if err := p.sends(ctx); err != nil {
		return "", err
	}
	switch {
	case pr.Number == 2:
		p.lift.State, p.lift.By = v1alpha1.PullRequestMerged, "bot"
		p.push(commit{value: p.tip().value})
		return MergingDone, nil
	case order.Head != p.head || pr.Head != p.head:
		return "", RefuseAs(FaultHeadMoved, "the head moved")
	case p.pr.Merge != MergeClean && order.Arm:
		return MergingArmed, p.write(func() error { p.pr.Armed = true; return nil })
	case p.pr.Merge != MergeClean:
		return "", RefuseAs(FaultNotYet, "not yet")
	}
	return MergingDone, p.write(func() error { return p.merge("bot") })
}

// merge squashes.
func (p *proposals) merge(by string) error {
	p.merges++
	p.push(commit{value: p.brings, held: true})
	p.pr.State, p.pr.By, p.pr.Armed = v1alpha1.PullRequestMerged, by, false
	return nil
}

// mergeAlone merges what a person took the hold out of.
func (p *proposals) mergeAlone(by string) error {
	err := p.merge(by)
	p.branch[len(p.branch)-1].held = false
	return err
}

// asksAlone wants people to be asked about it.
func (p *proposals) asksAlone() {
	q := p.record().Status.Question
	if q == nil || q.Doubts[0].Type != v1alpha1.DoubtHoldMissing || !strings.Contains(q.Doubts[0].Message, "without the hold of") {
		p.broke = append(p.broke, "it does not ask about the hold")
	}
}

// goesOnAlone has a person go on with that.
func goesOnAlone(p *proposals, goOn func()) {
	_ = p.mergeAlone("joe")
	goOn()
	p.asksAlone()
	p.answers(v1alpha1.Approve)
}

func (p *proposals) Disarm(context.Context, *PullRequest) error {
	return p.write(func() error { p.pr.Armed = false; return nil })
}

func (p *proposals) Close(ctx context.Context, pr *PullRequest, why string) error {
	if err := p.sends(ctx); err != nil {
		return err
	}
	return p.write(func() error {
		if pr.Number > 2 {
			p.shut[pr.Number] = why
			return nil
		}
		p.comments++
		p.pr.State, p.pr.Armed = v1alpha1.PullRequestClosed, false
		return nil
	})
}

// byPullRequest is a world whose pods fail, with an engine that delivers so.
func byPullRequest(delivery v1alpha1.Delivery, mode v1alpha1.Mode) (*proposals, *Engine) {
	p := &proposals{model: newModel(), spec: v1alpha1.RollbackPolicySpec{Delivery: delivery}}
	p.mode, p.failsFor, p.selected = mode, time.Minute, imgBad
	p.writeBack()
	p.rollOut()
	e := p.engine("prod", Budget{Count: 3, Per: time.Hour})
	e.Records, e.Git, e.Forges = p, p, forges{p}
	return p, e
}

type forges struct{ p *proposals }

func (f forges) Forge(_ context.Context, src Source, _ v1alpha1.PullRequestProvider) (Forge, error) {
	if src.API != nil {
		f.p.logins = append(f.p.logins, src.API.Name.String()+" "+string(src.API.Auth.Secret["token"]))
	}
	return forgeOf{f.p}, nil
}

// goOn walks for a while.
func (p *proposals) goOn(t *testing.T, e *Engine, d time.Duration) {
	t.Helper()
	for end := p.now.Add(d); p.now.Before(end); p.now = p.now.Add(5 * time.Second) {
		if _, err := e.Walk(t.Context(), ImageKey(p.ns, imgBad)); err != nil && !errors.Is(err, errCrash) {
			t.Fatalf("walk: %v\n%s", err, p.story())
		}
	}
}

func (p *proposals) record() *v1alpha1.Rollback {
	for _, r := range p.records {
		if r.Spec.Subject.Name == imgBad {
			return r
		}
	}
	return nil
}

// answers is a person on the card.
func (p *proposals) answers(a v1alpha1.Answer) {
	r := p.record()
	r.Spec.Decisions = append(r.Spec.Decisions, v1alpha1.Decision{By: "jane", Question: r.Status.Question.ID, Answer: a})
}
