package clicks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/slack-go/slack"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/notify/slack/card"
)

// ErrConflict means that a Rollback was changed since it was read.
var ErrConflict = errors.New("the Rollback was changed in between")

// Records keeps Rollbacks in the API server.
type Records interface {
	// Get reads a Rollback, live; nil if absent.
	Get(ctx context.Context, namespace, name string) (*v1alpha1.Rollback, error)
	// SaveDecisions writes the spec with the resourceVersion that was read, or gives ErrConflict.
	SaveDecisions(ctx context.Context, r *v1alpha1.Rollback) error
}

// Options of a Handler.
type Options struct {
	Records Records
	// Rules are who may decide on a Rollback, a rule of each policy that speaks of it.
	Rules func(ctx context.Context, r *v1alpha1.Rollback) ([]Rule, error)
	// Places are where the cards of a Rollback stand.
	Places func(r *v1alpha1.Rollback) []Place
	// Platform reports whether a Provider, by namespace/name, is the platform's own and may say who is who for every
	// policy; nil for none. Others speak for the policies of their namespace.
	Platform func(provider string) bool
	// Recorded hears of a Rollback that was just decided; nil for nobody.
	Recorded func(r *v1alpha1.Rollback)
	// Budget is how long recording may take; 2 s when zero. Slack waits 3 s for the acknowledgement.
	Budget time.Duration
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Log; nil discards.
	Log *slog.Logger
	// Metrics counts; nil counts nowhere.
	Metrics *Metrics
}

// Handler judges clicks and records decisions. It is safe for concurrent use.
type Handler struct {
	Options
	answers sync.WaitGroup

	mu     sync.Mutex
	people map[*slack.Client]*people
}

// NewHandler makes a Handler.
func NewHandler(o Options) *Handler {
	if o.Budget <= 0 {
		o.Budget = 2 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics()
	}
	return &Handler{Options: o, people: map[*slack.Client]*people{}}
}

// of gives what is known through an app: Slack answers each app by what that app may see.
func (h *Handler) of(api *slack.Client) *people {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.people[api] == nil {
		h.people[api] = newPeople(api, h.Now)
	}
	return h.people[api]
}

// forget drops what is known through an app that is heard no more.
func (h *Handler) forget(api *slack.Client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.people, api)
}

// Answer is what became of a click.
type Answer struct {
	Result Result
	// Sentence for who clicked; empty for none.
	Sentence string
}

// Acknowledge reports whether Slack may be told that the click has arrived. One that could not be recorded has not.
func (a Answer) Acknowledge() bool { return a.Result != Unrecorded }

// take judges a click and records the decision, within the budget. When it returns nothing is pending. heard are the
// Providers whose app it came from: it is judged as the one that posted the card, which is given to answer with.
func (h *Handler) take(ctx context.Context, heard []App, c Click) (Answer, App) {
	started := h.Now()
	// What was begun is ended, although the sidecar stops.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.Budget)
	defer cancel()
	app := teamOf(heard, c)
	a := h.decide(ctx, heard, &app, c)
	h.Metrics.click(a.Result, h.Now().Sub(started))
	h.Log.Info("slack click", "result", string(a.Result), "action", clip(c.Action), "user", clip(c.Team+"/"+c.User),
		"channel", clip(c.Channel), "message", clip(c.Message), "pressed", clip(c.At), "provider", app.Provider)
	return a, app
}

// teamOf finds the app of the click's workspace: one app may be installed in several.
func teamOf(heard []App, c Click) App {
	for _, a := range heard {
		if a.Team != "" && a.Team == c.Team {
			return a
		}
	}
	if len(heard) == 0 {
		return App{}
	}
	return heard[0]
}

func (h *Handler) decide(ctx context.Context, heard []App, app *App, c Click) Answer {
	var answer v1alpha1.Answer
	switch c.Action {
	case card.View:
		return Answer{Result: Viewed}
	case card.Approve:
		answer = v1alpha1.Approve
	case card.Reject:
		answer = v1alpha1.Reject
	default:
		return Answer{Result: Unknown}
	}
	ref, err := card.ParseValue(c.Value)
	if err != nil {
		return Answer{Unknown, "This button is not one that this Backstop draws: nothing was recorded."}
	}
	for {
		done, err := h.try(ctx, heard, app, c, press{ref, answer})
		var silent *unsure
		switch {
		case errors.As(err, &silent) && ctx.Err() == nil:
			h.Log.Warn("slack: a click could not be judged", "error", text.Mask(err.Error()), "provider", app.Provider)
			return Answer{Unsure, fmt.Sprintf("Slack did not say %s (%s): nothing was recorded. %s", silent.what,
				silent.why(), byHand(ref.Namespace, ref.Name))}
		case errors.Is(err, ErrConflict) && ctx.Err() == nil:
			continue
		case err != nil:
			h.Log.Warn("a click could not be recorded", "rollback", ref.Namespace+"/"+ref.Name, "error", text.Mask(err.Error()))
			return Answer{Unrecorded, "Your answer could not be recorded in time. Press the button again. " +
				byHand(ref.Namespace, ref.Name)}
		}
		return done
	}
}

// press is what a button means.
type press struct {
	card.Ref
	answer v1alpha1.Answer
}

// factsOf gathers what the record says, and finds the app that posted the card among those that the click came from.
func (h *Handler) factsOf(r *v1alpha1.Rollback, heard []App, app *App, c Click, p press) facts {
	f := facts{rollback: r, uid: p.UID, asked: p.Question, answer: p.answer}
	posted := true
	if r != nil {
		f.places, f.open, f.question = h.Places(r), card.Open(r), card.Question(r)
		if place, ok := placeOf(c, f.places); ok {
			f.provider = place.Provider
			f.platform = h.Platform != nil && h.Platform(place.Provider)
			i := slices.IndexFunc(heard, func(a App) bool { return a.Provider == place.Provider })
			if posted = i >= 0; posted {
				*app = heard[i]
			}
		}
	}
	if posted {
		f.app, f.team, f.enterprise = app.ID, app.Team, app.Enterprise
	}
	return f
}

// try judges a click on what the record says now, and records it there.
func (h *Handler) try(ctx context.Context, heard []App, app *App, c Click, p press) (Answer, error) {
	r, err := h.Records.Get(ctx, p.Namespace, p.Name)
	if err != nil {
		return Answer{}, fmt.Errorf("read the Rollback: %w", err)
	}
	f := h.factsOf(r, heard, app, c, p)
	// What costs a question to others is asked only of clicks that come from our card.
	for _, check := range []func(Click, *facts) *refusal{wrongOrigin, wrongCard} {
		if no := check(c, &f); no != nil {
			return Answer{no.result, no.sentence}, nil
		}
	}
	if err := h.ask(ctx, h.of(app.API), c, &f); err != nil {
		return Answer{}, err
	}
	if no := authorize(c, f); no != nil {
		return Answer{no.result, no.sentence}, nil
	}
	by := f.by(c)
	r.Spec.Decisions = append(r.Spec.Decisions, v1alpha1.Decision{
		By: by, Question: p.Question, Answer: p.answer, At: v1alpha1.NewTime(h.Now()),
	})
	if err := h.Records.SaveDecisions(ctx, r); err != nil {
		return Answer{}, fmt.Errorf("write the decision: %w", err)
	}
	if h.Recorded != nil {
		h.Recorded(r)
	}
	return Answer{Recorded, recorded(r, p.answer)}, nil
}

// recorded tells who clicked what follows.
func recorded(r *v1alpha1.Rollback, answer v1alpha1.Answer) string {
	drift := r.Spec.OpenedFor == v1alpha1.TriggerDrift
	switch {
	case answer == v1alpha1.Approve && drift:
		return "Your approval is recorded. What runs is written to Git next; the card follows."
	case answer == v1alpha1.Approve:
		return "Your approval is recorded. The revert goes to Git next; the card follows."
	case drift:
		return "Your answer is recorded. Flux restores what Git says."
	}
	return "Your answer is recorded. Git stays as it is."
}

// ask gathers what the policies say, and what Slack says of the person.
func (h *Handler) ask(ctx context.Context, p *people, c Click, f *facts) error {
	var err error
	if f.rules, err = h.Rules(ctx, f.rollback); err != nil {
		return fmt.Errorf("read the policies: %w", err)
	}
	if f.person, err = p.person(ctx, c.User); err != nil {
		return &unsure{"who you are", "users:read", err}
	}
	f.groups = map[string]bool{}
	for _, r := range f.rules {
		if r.ChannelMembers || lists(r, c.User) {
			continue
		}
		for _, g := range r.UserGroups {
			if _, asked := f.groups[g]; asked {
				continue
			}
			if f.groups[g], err = p.member(ctx, g, c.User); err != nil {
				return &unsure{"whether you are in <!subteam^" + plain(g) + ">", "usergroups:read", err}
			}
		}
	}
	return nil
}

// reply answers the person who clicked, in a message that nobody else sees. It does not wait.
func (h *Handler) reply(ctx context.Context, app App, c Click, a Answer) {
	if a.Sentence == "" || c.Channel == "" || c.User == "" {
		return
	}
	h.answers.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		options := []slack.MsgOption{slack.MsgOptionText(a.Sentence, false), slack.MsgOptionDisableLinkUnfurl()}
		if c.Thread != "" {
			options = append(options, slack.MsgOptionTS(c.Thread))
		}
		if _, err := app.API.PostEphemeralContext(ctx, c.Channel, c.User, options...); err != nil {
			h.Log.Warn("slack: the answer to a click could not be posted", "result", string(a.Result), "user", clip(c.User),
				"error", text.Mask(err.Error()))
		}
	})
}

// Wait waits for the answers that are under way.
func (h *Handler) Wait() { h.answers.Wait() }
