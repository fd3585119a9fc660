package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
)

type revertOptions struct {
	lookup
	proposal             proposal
	dryRun, noHold, push bool
	branch, to           string
}

func revertCommand(std streams) *cobra.Command {
	var o revertOptions
	cmd := &cobra.Command{
		Use:   "revert IMAGE|deploy/NAME",
		Short: "the panic button: revert an image out of Git by hand",
		Long: `Reverts the commit that brought an image in, as far as it concerns that image, and holds image automation off
it, as the sidecar would. The registry is not asked: look at the diff first.

  --dry-run       shows the diff and the commit messages, and writes nothing
  --branch B      with --repo: commits on a local branch
  --push          pushes to the deployed branch, never by force
  --pull-request  pushes to a branch of its own and opens a pull request, at GitHub, GitLab, Gitea or Forgejo

A pull request is opened with the token that gh, glab or tea take from the environment (GH_TOKEN, GITLAB_TOKEN,
GITEA_SERVER_TOKEN, …); in a cluster with the credentials of the GitRepository where there is none.`,
		Example: `  $backstop revert deploy/backend -n production --dry-run
  $backstop revert deploy/backend -n production --push
  $backstop revert ghcr.io/acme/backend:v1.1.0 --repo . --path apps/production --branch undo-backend
  $backstop revert ghcr.io/acme/backend:v1.1.0 --repo . --path apps/production --pull-request`,
		Args: takes(1, 2, "IMAGE, KIND/NAME or KIND NAME"), ValidArgsFunction: completeWorkload(&o.cluster),
		RunE: func(cmd *cobra.Command, args []string) error {
			arg, err := target(args)
			if err != nil {
				return err
			}
			o.given = cmd.Flags()
			return o.run(cmd.Context(), std, arg)
		},
	}
	o.bind(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.dryRun, "dry-run", false, "show the diff and write nothing")
	f.BoolVar(&o.push, "push", false, "push to the deployed branch")
	f.StringVar(&o.branch, "branch", "", "with --repo: commit on this local branch")
	f.BoolVar(&o.noHold, "no-hold", false,
		"do not hold image automation: it writes the image again if its policy selects it")
	o.proposal.bind(f)
	f.StringVar(&o.to, "to", "", "go back to this earlier image or tag (default: the value before the commit)")
	return cmd
}

// check wants exactly one way to deliver.
func (o *revertOptions) check() error {
	ways := 0
	for _, way := range []bool{o.dryRun, o.push, o.proposal.wanted, o.branch != ""} {
		if way {
			ways++
		}
	}
	switch {
	case ways != 1:
		return badUsage("give one of --dry-run, --push, --pull-request and --branch")
	case o.branch != "" && o.repo == "":
		return badUsage("--branch goes with --repo")
	}
	return o.proposal.check()
}

func (o *revertOptions) run(ctx context.Context, std streams, arg string) error {
	if err := o.check(); err != nil {
		return err
	}
	o.writes = !o.dryRun
	repo, image, err := o.open(ctx, arg)
	if err != nil {
		return err
	}
	defer func() { _ = repo.close() }()
	rev, err := o.find(ctx, repo, image)
	if err != nil {
		return err
	}
	plan, err := repo.plan(ctx, rev)
	if err != nil {
		return err
	}
	if err := plan.Landings[0].Err; err != nil {
		return landingError(err, image)
	}
	if err := printPlan(std.out, plan, colours(std.out)); err != nil {
		return err
	}
	lines, err := rendered(ctx, plan, image)
	if err != nil {
		return err
	}
	for _, line := range slices.Concat(untouched(rev), lines) {
		fmt.Fprintln(std.err, line)
	}
	switch {
	case o.dryRun:
		fmt.Fprintln(std.err, "Nothing was written. --push pushes it, --pull-request opens a pull request, --branch commits "+
			"it on a local branch.")
		return nil
	case o.branch != "":
		if err := plan.Commit(o.branch); err != nil {
			return err
		}
		fmt.Fprintf(std.err, "Committed on %s: %s.\n", o.branch, text.Short(plan.Head))
		return nil
	}
	if o.proposal.wanted {
		return landingError(o.proposal.open(ctx, std, repo, rev, plan), image)
	}
	change, err := repo.push(ctx, rev, plan)
	if err != nil {
		return landingError(err, image)
	}
	where := rev.Suspect.Source.String()
	if o.repo != "" {
		where = "the remote origin"
	}
	fmt.Fprintf(std.err, "Pushed to %s of %s: revert %s%s.\n", change.Branch, where, text.Short(change.Commit),
		heldBy(change))
	return nil
}

// find finds the commit and what to go back to.
func (o *revertOptions) find(ctx context.Context, repo repository, ref string) (reconcile.Revert, error) {
	s, err := repo.blame(ctx, ref)
	if err != nil {
		return reconcile.Revert{}, err
	}
	former, err := repo.former(ctx, s)
	if err != nil {
		return reconcile.Revert{}, err
	}
	var seen []string
	for _, f := range former {
		if o.to == "" && image.Equal(f.Image, ref) {
			// A digest was put to it since: without one it is what was asked for.
			continue
		}
		if _, err := image.Parse(f.Image); o.to == "" && f.Image != "" && err != nil {
			// A typing mistake that somebody mended: nothing ever ran it.
			continue
		}
		if o.to == "" || f.Image == o.to || image.Short(f.Image) == o.to {
			return reconcile.Revert{
				Image: ref, Suspect: s, Target: v1alpha1.Target{Image: f.Image, Values: f.Values}, Hold: !o.noHold,
				Lift: v1alpha1.LiftNewerImage, Permit: func(reconcile.Branch) error { return nil },
			}, nil
		}
		if short := image.Short(f.Image); !slices.Contains(seen, short) {
			seen = append(seen, short)
		}
	}
	switch gone := s.GoneSince; {
	case gone != nil && len(seen) == 0:
		return reconcile.Revert{}, fmt.Errorf("git no longer says %s, since %s (%s): nothing to revert", ref,
			text.Short(gone.Commit), oneLine(gone.Subject))
	case o.to != "" && len(seen) > 0:
		return reconcile.Revert{}, fmt.Errorf("--to %s was never here; earlier values are: %s", o.to,
			strings.Join(seen, ", "))
	}
	return reconcile.Revert{}, fmt.Errorf("%s came in with %s, and there is no earlier value to go back to", ref,
		text.Short(s.Commit))
}

func landingError(err error, image string) error {
	if errors.Is(err, reconcile.ErrSuperseded) {
		return fmt.Errorf("git no longer says %s: nothing to revert", image)
	}
	return err
}

func heldBy(c *v1alpha1.Change) string {
	if c.Hold == "" {
		return ""
	}
	return ", hold " + text.Short(c.Hold)
}

// printPlan writes the commits as git show would.
func printPlan(out io.Writer, p *gitrepo.Plan, colour bool) error {
	for i, files := range [][]gitrepo.FileChange{p.Reverted, p.Held} {
		if len(files) == 0 || i >= len(p.Messages) {
			continue
		}
		for line := range strings.Lines(p.Messages[i]) {
			fmt.Fprintln(out, paint("    "+safe(line), yellow, colour))
		}
		fmt.Fprintln(out)
		for _, f := range files {
			diff, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
				A: slices.Collect(strings.Lines(string(f.Before))), B: slices.Collect(strings.Lines(string(f.After))),
				FromFile: "a/" + f.Path, ToFile: "b/" + f.Path, Context: 3,
			})
			if err != nil {
				return fmt.Errorf("compare %s: %w", f.Path, err)
			}
			for line := range strings.Lines(diff) {
				fmt.Fprintln(out, paint(safe(line), diffColour(line), colour))
			}
		}
		fmt.Fprintln(out)
	}
	return nil
}

// safe keeps what a file holds from moving the terminal's cursor.
func safe(line string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && (r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0)) {
			return -1
		}
		return r
	}, line)
}

// The colours of a diff.
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	cyan   = "\x1b[36m"
	plain  = "\x1b[0m"
)

func diffColour(line string) string {
	switch {
	case strings.HasPrefix(line, "+"):
		return green
	case strings.HasPrefix(line, "-"):
		return red
	case strings.HasPrefix(line, "@@"):
		return cyan
	}
	return ""
}

func paint(s, colour string, on bool) string {
	if !on || colour == "" {
		return s
	}
	return colour + s + plain
}
