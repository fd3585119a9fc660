package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Engine walks keys along the line. All fields are set before its first use; it has no state of its own but the peers'.
type Engine struct {
	// Cluster names this cluster in trailers and on cards.
	Cluster string
	// ClusterUID is that of the kube-system namespace, by which clusters of one name are told apart; empty where it cannot
	// be read.
	ClusterUID string
	// Home is Backstop's own namespace.
	Home string
	// Platforms to prove images for where a failure does not name its node's (os/arch).
	Platforms []string
	// Ceiling of the controller's flags.
	Ceiling Ceiling
	// ConfirmAfter is how long the registry has to lack an image that image automation found there.
	ConfirmAfter time.Duration
	// DeletesPods lets Backstop delete pods that keep an ordered rollout from moving on.
	DeletesPods bool
	// FastForward means that Backstop has the rights to set images on workloads ahead of Flux.
	FastForward bool
	// SaveAfter is how long what was found out may be unsaved while more is looked for; zero until it is needed.
	SaveAfter time.Duration
	// Now is the clock.
	Now func() time.Time
	// Triggers are the ways in which something is seen to be wrong, in the order of their table.
	Triggers []Trigger
	// The peers.
	Records  Records
	Pods     Pods
	Flux     Flux
	Git      Git
	Registry Registry
	// Forward sets images ahead of Flux; nil for nobody.
	Forward Forwarder
	// Applies reads what Flux cannot apply; nil where nobody looks.
	Applies Applies
	// Forges are the ways to pull requests; nil where none are opened.
	Forges Forges
	// Login gives a source with a login for its provider's API, of the Secrets that policies name the first that may be
	// sent there. A Refusal says why none may, or what is missing; nil reads none.
	Login func(ctx context.Context, secrets []types.NamespacedName, src Source) (Source, error)
	// Rendered renders what a revert leaves, and says in a Refusal why that must not be; nil renders nothing.
	Rendered func(ctx context.Context, origin Origin, r Revert) error
	// Try plans a revert on the tip and pushes nothing; nil where no files go back.
	Try func(ctx context.Context, src Source, r Revert) error
	// Tell hears of every saved change of a Rollback, in order; it must not block.
	Tell func(before, after *v1alpha1.Rollback)
	// MaxRecords is how many Rollbacks are kept of one namespace, whoever fills it; zero for no limit. Count says how many
	// there are, from a cache, and TellFull hears of what found no room.
	MaxRecords int
	Count      func(namespace string) int
	TellFull   func(namespace, image string, most int)
	// Tenant names whose a namespace is; nil has each be a tenant of its own.
	Tenant func(namespace string) string
	// Stopping means that no further effect should be begun; nil for never. What was begun is finished and saved.
	Stopping func() bool
	// Woken is when a key was last woken by something that changed; zero for long ago. What a walk only looks at may have
	// been read since then; nil has each walk read it anew.
	Woken func(key Key) time.Time
	// Log gets one line for each effect.
	Log *slog.Logger
}

// save writes the status when it changed, and tells.
func (e *Engine) save(ctx context.Context, before, after *v1alpha1.Rollback) error {
	describe(after, e.Now())
	fit(&after.Status)
	if equality.Semantic.DeepEqual(before.Status, after.Status) {
		return nil
	}
	if err := e.Records.SaveStatus(ctx, after); err != nil {
		return fmt.Errorf("save %s/%s: %w", after.Namespace, after.Name, err)
	}
	if e.Tell != nil {
		e.Tell(before, after)
	}
	return nil
}

func (e *Engine) fillOutcome(_ context.Context, _ *World, step Step, rb *v1alpha1.Rollback) error {
	if s := &rb.Status; s.Verdict != nil && step.Outcome.Result == v1alpha1.ResultExpired {
		// Who withdrew a no did not say yes.
		s.Lapsed = append(s.Lapsed, v1alpha1.Lapse{Verdict: *s.Verdict, At: step.Outcome.At, Why: step.Outcome.Message})
		s.Verdict = nil
	}
	rb.Status.Outcome = &step.Outcome
	rb.Status.Waiting, rb.Status.Question = nil, step.Question
	return nil
}
