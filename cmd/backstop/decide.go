package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func approveCommand(std streams) *cobra.Command {
	return decisionCommand(std, v1alpha1.Approve, &cobra.Command{
		Use:   "approve [rollback] NAME",
		Short: "let Backstop revert the change of a Rollback in Git",
		Long: `Adds your approval to a Rollback. It answers the question that status.question asks; the first decision that
Backstop reads counts, and of several at once a rejection. Backstop then pushes the revert and the hold, asks Flux to
apply them, and verifies. An expired Rollback can still be approved, and so can a change by hand that Flux undid.

Of a workload that was changed by hand, what runs is adopted into Git: '$backstop get drift' lists them.

Without Backstop's command:
  kubectl -n NAMESPACE get rollback NAME -o jsonpath='{.status.question.id}'
  kubectl -n NAMESPACE patch rollback NAME --type=json -p '[{"op":"add","path":"/spec/decisions","value":[
    {"by":"YOUR USER NAME","question":"ID OF THE QUESTION","answer":"Approve","at":"2026-11-21T09:00:00.000000Z"}]}]'`,
		Example: "  $backstop approve backend-1f2e3d4c5b-1 -n production --reason 'seen on staging too'\n" +
			"  $backstop approve rollback/backend-1f2e3d4c5b-1 -n production --wait",
	})
}

func rejectCommand(std streams) *cobra.Command {
	return decisionCommand(std, v1alpha1.Reject, &cobra.Command{
		Use:   "reject [rollback] NAME",
		Short: "keep the image that a Rollback is about",
		Long: `Adds your refusal to a Rollback. The first decision counts: Backstop then leaves Git as it is.

A workload that was changed by hand is restored from Git: Flux is asked to reconcile.`,
		Example: "  $backstop reject backend-1f2e3d4c5b-1 -n production --reason 'the registry is being repaired'",
	})
}

func decisionCommand(std streams, answer v1alpha1.Answer, cmd *cobra.Command) *cobra.Command {
	var where cluster
	var reason, question string
	var then after
	where.bind(cmd)
	then.bind(cmd)
	why := "why, for the record"
	if answer == v1alpha1.Approve {
		why += " and the revert's commit message"
	}
	cmd.Flags().StringVar(&reason, "reason", "", why)
	cmd.Flags().StringVar(&question, "question", "", "answer only if this is what is asked (status.question.id)")
	cmd.Args = takes(1, 2, "the name of one Rollback: the command get lists them")
	cmd.ValidArgsFunction = completeRollback(&where)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := then.check(cmd.Flags()); err != nil {
			return err
		}
		d := v1alpha1.Decision{Question: question, Answer: answer, At: v1alpha1.NewTime(time.Now()), Reason: reason}
		name, err := rollbackName(args)
		if err != nil {
			return err
		}
		cl, rb, err := where.decide(cmd, std, name, &d.By, func(rb *v1alpha1.Rollback) error { return addDecision(rb, d) })
		if err != nil {
			return err
		}
		fmt.Fprintf(std.out, "rollback/%s: %s recorded for %s\n", rb.Name, strings.ToLower(string(answer)), d.By)
		return then.tell(cmd, std, cl, rb, answer)
	}
	return cmd
}

// addDecision answers the question that a Rollback asks, and refuses an answer that could not count.
func addDecision(rb *v1alpha1.Rollback, d v1alpha1.Decision) error {
	s := &rb.Status
	q := s.Question
	switch {
	case s.Verdict != nil:
		return fmt.Errorf("rollback/%s is decided: %s by %s at %s", rb.Name, s.Verdict.Answer, s.Verdict.By,
			s.Verdict.At.UTC().Format(time.RFC3339))
	case q == nil && s.Outcome != nil:
		return fmt.Errorf("rollback/%s has ended: %s: %s", rb.Name, s.Outcome.Result, s.Outcome.Message)
	case q == nil && s.Waiting != nil:
		return fmt.Errorf("rollback/%s asks nothing now: %s", rb.Name, s.Waiting.Why)
	case q == nil:
		return fmt.Errorf("rollback/%s asks nothing now", rb.Name)
	case d.Question != "" && d.Question != q.ID:
		return fmt.Errorf("rollback/%s asks %s now and not %s: look at it again", rb.Name, q.ID, d.Question)
	case !q.Allows(d.Answer):
		return fmt.Errorf("rollback/%s cannot be answered with %s: %s", rb.Name, d.Answer, whyNot(q))
	}
	d.Question = q.ID
	for _, old := range rb.Answered() {
		if old.By == d.By {
			return fmt.Errorf("rollback/%s: you answered %s already, and an answer cannot be changed", rb.Name, old.Answer)
		}
	}
	rb.Spec.Decisions = append(rb.Spec.Decisions, d)
	return nil
}

// whyNot explains why an answer is not taken.
func whyNot(q *v1alpha1.Question) string {
	for _, doubt := range q.Doubts {
		if doubt.Type == v1alpha1.DoubtNotAdoptable {
			return doubt.Message
		}
	}
	return fmt.Sprintf("it takes %v", q.Answers)
}

func liftCommand(std streams) *cobra.Command {
	var where cluster
	var reason string
	var only []string
	cmd := &cobra.Command{
		Use:   "lift [rollback] NAME",
		Short: "lift the hold that a Rollback left on image automation",
		Long: `Asks Backstop to take the hold away, whatever the policy selects now. Image automation then writes the selected
image again: if that is still the failing one, it comes back. A Rollback with several places has a hold on each:
--place lifts some of them.`,
		Example: "  $backstop get holds -A\n  $backstop lift backend-1f2e3d4c5b-1 -n production\n" +
			"  $backstop lift backend-1f2e3d4c5b-1 -n production --place apps/canary/backend.yaml",
		Args:              takes(1, 2, "the name of one Rollback: the command get lists them"),
		ValidArgsFunction: completeRollback(&where),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := rollbackName(args)
			if err != nil {
				return err
			}
			d := &v1alpha1.LiftRequest{At: v1alpha1.NewTime(time.Now()), Reason: reason}
			_, rb, err := where.decide(cmd, std, name, &d.By, func(rb *v1alpha1.Rollback) error {
				s := &rb.Status
				switch {
				case s.Change == nil || s.Change.Hold == "":
					return fmt.Errorf("rollback/%s holds nothing", rb.Name)
				case s.Lifted != nil:
					return fmt.Errorf("rollback/%s: the hold was lifted by %s at %s", rb.Name, s.Lifted.By,
						s.Lifted.At.UTC().Format(time.RFC3339))
				case !s.Ended():
					return fmt.Errorf("rollback/%s is still under way (%s): lift it when it has ended", rb.Name, s.PhaseNow())
				}
				places, err := heldPlaces(rb, only)
				if err != nil {
					return err
				}
				// It is for the hold that stands, also where this machine's clock is behind.
				if d.At.Before(&s.Change.At) {
					d.At = s.Change.At
				}
				old := rb.Spec.Lift
				if rb.LiftSpent() {
					// Another wish than the one that was spent, whatever this machine's clock says.
					if !old.At.Before(&d.At) {
						d.At = v1alpha1.NewTime(old.At.Add(time.Second))
					}
					old = nil
				}
				rb.Spec.Lift = widened(old, d, places)
				return nil
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(std.out, "rollback/%s: lift of %s asked for by %s\n", rb.Name,
				strings.Join(liftedPolicies(rb), ", "), rb.Spec.Lift.By)
			return nil
		},
	}
	where.bind(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record and the commit that lifts the hold")
	cmd.Flags().StringArrayVar(&only, "place", nil, "lift the hold on this place alone: a file, an ImagePolicy "+
		"(namespace:name) or an ID of status.holds; may be given several times")
	return cmd
}

// heldPlaces gives the IDs of the standing holds that a person names; none for all of them.
func heldPlaces(rb *v1alpha1.Rollback, only []string) ([]string, error) {
	var out []string
	for _, name := range only {
		before := len(out)
		for _, h := range rb.Status.Holds {
			p := rb.Status.PlaceOf(&h)
			named := name == h.Place || p != nil && (name == p.Marker || name == p.File)
			if named && h.LiftedBy == "" {
				out = append(out, h.Place)
			}
		}
		if len(out) == before {
			return nil, fmt.Errorf("rollback/%s has no hold on %s that stands: it has those on %s", rb.Name, name,
				strings.Join(rb.Status.HeldPolicies(), ", "))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// widened is the wish of whoever asks now, for what others asked for too; theirs stays where it asks for nothing more.
func widened(old, now *v1alpha1.LiftRequest, places []string) *v1alpha1.LiftRequest {
	now.Places = places
	if old == nil || len(old.Places) > 0 && len(places) == 0 {
		return now
	}
	if len(old.Places) == 0 || !slices.ContainsFunc(places, func(p string) bool { return !old.Names(p) }) {
		return old
	}
	now.Places = slices.Compact(slices.Sorted(slices.Values(slices.Concat(old.Places, places))))
	return now
}

// liftedPolicies are the policies whose holds are asked to be lifted.
func liftedPolicies(rb *v1alpha1.Rollback) []string {
	var out []string
	for _, h := range rb.Status.Holds {
		p := rb.Status.PlaceOf(&h)
		if h.LiftedBy == "" && rb.Spec.Lift.Names(h.Place) && p != nil && !slices.Contains(out, p.Marker) {
			out = append(out, p.Marker)
		}
	}
	if len(out) == 0 {
		return rb.Status.HeldPolicies()
	}
	return out
}

// decide writes down in a Rollback what whoever runs the command decides; change refuses it, or adds it.
func (c *cluster) decide(
	cmd *cobra.Command, std streams, name string, by *string, change func(*v1alpha1.Rollback) error,
) (client.Client, *v1alpha1.Rollback, error) {
	cl, ns, err := c.client()
	if err != nil {
		return nil, nil, err
	}
	ctx := cmd.Context()
	if *by, err = whoAmI(ctx, cl); err != nil {
		return nil, nil, err
	}
	rb, err := amend(ctx, cl, client.ObjectKey{Namespace: ns, Name: name}, change)
	if apierrors.IsNotFound(err) {
		if err := noNamespace(ctx, cl, ns); err != nil {
			return nil, nil, err
		}
		return nil, nil, fmt.Errorf("no rollback %s in namespace %s: see '%s'", name, ns,
			std.program.Command("get rollbacks -A"))
	}
	return cl, rb, err
}

// amend reads a Rollback, changes its spec and writes it, again after a conflict.
func amend(ctx context.Context, cl client.Client, key client.ObjectKey, change func(*v1alpha1.Rollback) error,
) (*v1alpha1.Rollback, error) {
	for {
		var rb v1alpha1.Rollback
		err := cl.Get(ctx, key, &rb)
		if err != nil {
			return nil, fmt.Errorf("read rollback %s: %w", key, readable(err))
		}
		if err := change(&rb); err != nil {
			return nil, err
		}
		switch err := cl.Update(ctx, &rb); {
		case apierrors.IsConflict(err):
			continue
		case err != nil:
			if apierrors.IsForbidden(err) {
				return nil, fmt.Errorf("you may not decide in namespace %s: ask for a Role that may update rollbacks there, "+
					"such as the ClusterRole admin or backstop-approver (%w)", key.Namespace, readable(err))
			}
			return nil, fmt.Errorf("write rollback %s: %w", key, readable(err))
		}
		return &rb, nil
	}
}
