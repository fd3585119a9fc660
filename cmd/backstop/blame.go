package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

func blameCommand(std streams) *cobra.Command {
	var l lookup
	var output string
	cmd := &cobra.Command{
		Use:   "blame IMAGE|deploy/NAME",
		Short: "say which commit brought an image in",
		Long: `Finds the commit of the deployed branch at which the manifests began to name an image: by value, through
squashes, merges and Backstop's own commits. With --repo it needs no cluster; otherwise Flux's objects lead to
the repository, and you need to be allowed to read the Secret that Flux reads.`,
		Example: `  $backstop blame deploy/backend -n production
  $backstop blame ghcr.io/acme/backend:v1.1.0 --repo . --path apps/production -o json`,
		Args: takes(1, 2, "IMAGE, KIND/NAME or KIND NAME"), ValidArgsFunction: completeWorkload(&l.cluster),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := structured(output); err != nil {
				return err
			}
			arg, err := target(args)
			if err != nil {
				return err
			}
			l.given = cmd.Flags()
			repo, image, err := l.open(cmd.Context(), arg)
			if err != nil {
				return err
			}
			s, err := repo.blame(cmd.Context(), image)
			if cerr := repo.close(); err == nil && cerr != nil {
				err = fmt.Errorf("close the repository: %w", cerr)
			}
			if err != nil {
				return err
			}
			if output == "json" || output == "yaml" {
				return printObject(std.out, output, &s)
			}
			return printSuspect(std.out, image, &s, time.Now())
		},
	}
	l.bind(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "", "json or yaml")
	completeFlag(cmd, "output", outputs("json", "yaml"))
	return cmd
}

// printSuspect writes a suspect for a person.
func printSuspect(out io.Writer, image string, s *v1alpha1.Suspect, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, oneLine(fmt.Sprintf(format, args...)))
	}
	line("Image", "%s", image)
	if s.Branch == "" {
		line("Commit", "%s", s.Commit)
	} else {
		line("Commit", "%s on %s", s.Commit, s.Branch)
	}
	line("Subject", "%s", s.Subject)
	line("Author", "%s, %s ago", s.Author, age(s.When.Time, now))
	if m := s.Merged; m != nil {
		line("Merged", "%s %s", text.Short(m.Commit), m.Subject)
		line("", "by %s", m.Author)
	}
	if b := s.GoneSince; b != nil {
		line("Gone since", "%s %s", text.Short(b.Commit), b.Subject)
		line("", "by %s: Git no longer says the image", b.Author)
	}
	switch {
	case s.Automation != nil:
		line("Written by", "%s", s.Automation)
	case anyMarker(s) && s.ByHand == "":
		line("Written by", "not known: no cluster says what the policy selected")
	case anyMarker(s):
		line("Written by", "not known to be image automation: %s", s.ByHand)
	default:
		line("Written by", "not image automation: the value has no marker")
	}
	for _, n := range s.Places {
		line("Changed", "%s", changed(n))
		line("", "%s", n.Pointer)
		if n.Origin != nil && n.Origin.Commit != "" {
			line("", "since %s", text.Short(n.Origin.Commit))
		}
	}
	if len(s.OtherImages) > 0 {
		line("Brought in too", "%s", strings.Join(s.OtherImages, ", "))
	}
	for _, v := range s.Stays {
		line("Same marker", "%s: %s, which no revert changes", v.File, v.Value)
		line("", "%s", v.Pointer)
	}
	for _, r := range s.SharedBy {
		line("Rendered too by", "%s", r)
	}
	return w.Flush()
}

// changed describes how a node's value changed.
func changed(n v1alpha1.Place) string {
	before, after := image.Short(n.Former), image.Short(n.Bad)
	if n.Part == string(manifest.PartTag) {
		before, _, _ = strings.Cut(n.Former, "@")
		after, _, _ = strings.Cut(n.Bad, "@")
	}
	whole := before == after || n.Part == string(manifest.PartDigest) || strings.Contains(n.Former+n.Bad, "${")
	if whole {
		before, after = n.Former, n.Bad
	}
	if n.Added {
		before = "(nothing)"
	}
	return fmt.Sprintf("%s: %s → %s", n.File, before, after)
}

func anyMarker(s *v1alpha1.Suspect) bool {
	for _, n := range s.Places {
		if n.Marker != "" {
			return true
		}
	}
	return false
}
