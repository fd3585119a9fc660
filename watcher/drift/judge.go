package drift

import (
	"fmt"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
)

// Facts are what is known of one suspect.
type Facts struct {
	Container Container
	History   History
	// Git is the image that Git says at the revision that Flux applied; empty where that could not be read.
	Git string
	// Commit is that revision's.
	Commit string
	// Unsaid explains why Git could not be read; empty when it could.
	Unsaid string
}

// Finding is what the facts say.
type Finding struct {
	// Not explains why it is no drift; empty when it is one.
	Not string
	// Git is the image that should run; empty where nothing tells.
	Git string
	// Drift is how it came to another one.
	Drift v1alpha1.Drift
}

// Judge weighs the facts.
func Judge(f Facts) Finding {
	c := f.Container
	step := f.History.step(c)
	out := Finding{Git: f.Git}
	switch {
	case f.Git != "" && image.SameTag(c.Image, f.Git):
		return Finding{Not: "it runs what Git says", Git: f.Git}
	case f.Git != "" && f.rewritten():
		return Finding{Not: "it runs what Git says, from another registry that a webhook put in", Git: f.Git}
	case f.Git == "" && step.image != "" && image.SameTag(c.Image, step.image):
		return Finding{Not: "it runs what it ran before", Git: step.image}
	case f.Git == "":
		// The image that was left is the one that Flux had applied.
		out.Git = step.image
	}
	out.Drift = v1alpha1.Drift{Live: c.Image, By: c.By, From: step.from, To: step.to}
	if !c.At.IsZero() {
		at := v1alpha1.NewTime(c.At)
		out.Drift.At = &at
	}
	out.Drift.Read, out.Drift.Unread = f.told(step)
	return out
}

// told describes what was read, and what could not be.
func (f Facts) told(s step) (read, unread []string) {
	c := f.Container
	if c.By != "" {
		when := ""
		if !c.At.IsZero() {
			when = " since " + c.At.UTC().Format("15:04:05 MST")
		}
		read = append(read, fmt.Sprintf("managedFields: %s owns the image%s, and Flux does not any more", c.By, when))
	}
	switch {
	case s.to != "":
		read = append(read, fmt.Sprintf("%s: revision %s with %s was left for revision %s", f.History.Of, s.from, s.image,
			s.to))
	case s.from != "":
		read = append(read, fmt.Sprintf("%s: revision %s with %s was left", f.History.Of, s.from, s.image))
	}
	if f.Git != "" {
		read = append(read, fmt.Sprintf("Git at %.12s says %s", f.Commit, f.Git))
	}
	history := f.History.Unread
	if history == "" && f.History.Of != "" && s.from == "" {
		history = "none of the " + f.History.Of + " has another image: what was left is missing"
	}
	for what, why := range map[string]string{"managedFields": c.Unread, "history": history, "Git": f.Unsaid} {
		if why != "" {
			unread = append(unread, what+": "+word(why))
		}
	}
	return clip(read), clip(sorted(unread))
}

// rewritten reports whether the live image is Git's from another registry, as a mutating webhook makes it: the same
// repository behind it, and the same digest. Where only tags are known, an earlier revision must have come from there
// too: one that a person names for the first time is no mirror.
func (f Facts) rewritten() bool {
	live, git := parts(f.Container.Image), parts(f.Git)
	if live.Host == git.Host || live.Path != git.Path && !strings.HasSuffix(live.Path, "/"+git.Path) {
		return false
	}
	if live.Digest != "" && git.Digest != "" {
		return live.Digest == git.Digest
	}
	if live.Tag != git.Tag || live.Tag == "" {
		return false
	}
	for _, r := range f.History.Revisions {
		if was := r.Images[f.Container.Name]; was != f.Container.Image && parts(was).Host == live.Host {
			return true
		}
	}
	return false
}

// parts reads a reference. One that no registry would take is a path alone.
func parts(s string) image.Reference {
	r, err := image.Parse(s)
	if err != nil {
		return image.Reference{Path: s}
	}
	return r
}

// maxSaid is what the record takes of each list.
const maxSaid = 3

func clip(all []string) []string { return all[:min(len(all), maxSaid)] }

func sorted(all []string) []string {
	slices.Sort(all)
	return all
}
