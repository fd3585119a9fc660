package drift

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Facts are what is known of one suspect.
type Facts struct {
	Container Container
	History   History
	// Git is the image that Git says at the revision that Flux applied; empty where that could not be read.
	Git string
	// Commit is that revision's.
	Commit string
	// Unsaid says why Git could not be read; empty when it could.
	Unsaid string
}

// Finding is what the facts say.
type Finding struct {
	// Not says why it is no drift; empty when it is one.
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
	case f.Git != "" && Same(c.Image, f.Git):
		return Finding{Not: "it runs what Git says", Git: f.Git}
	case f.Git != "" && f.rewritten():
		return Finding{Not: "it runs what Git says, from another registry that a webhook put in", Git: f.Git}
	case f.Git == "" && step.image != "" && Same(c.Image, step.image):
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

// told says what was read, and what could not be.
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

// Same says whether two references name one image as far as both say something: a digest on one side only does not
// make them differ, and neither does what Docker's short names leave out.
func Same(a, b string) bool {
	x, y := cut(a), cut(b)
	if x.digest != "" && y.digest != "" {
		return x.digest == y.digest && x.repository() == y.repository()
	}
	return x == y || x.repository() == y.repository() && x.tag == y.tag && x.tag != ""
}

// rewritten says whether the live image is Git's from another registry, as a mutating webhook makes it: the same
// repository behind it, and the same digest. Where only tags are known, an earlier revision must have come from there
// too: one that a person names for the first time is no mirror.
func (f Facts) rewritten() bool {
	live, git := cut(f.Container.Image), cut(f.Git)
	if live.host == git.host || live.path != git.path && !strings.HasSuffix(live.path, "/"+git.path) {
		return false
	}
	if live.digest != "" && git.digest != "" {
		return live.digest == git.digest
	}
	if live.tag != git.tag || live.tag == "" {
		return false
	}
	for _, r := range f.History.Revisions {
		if image := r.Images[f.Container.Name]; image != f.Container.Image && cut(image).host == live.host {
			return true
		}
	}
	return false
}

// reference is an image's reference in parts.
type reference struct{ host, path, tag, digest string }

func (r reference) repository() string { return r.host + "/" + r.path }

// cut reads a reference. One that no registry would take is a path alone.
func cut(image string) reference {
	tagged, digest, _ := strings.Cut(image, "@")
	tag, err := name.NewTag(tagged)
	if err != nil {
		return reference{path: image}
	}
	r := reference{host: tag.RegistryStr(), path: tag.RepositoryStr(), tag: tag.TagStr(), digest: digest}
	if digest != "" && !strings.Contains(tagged[strings.LastIndexByte(tagged, '/')+1:], ":") {
		// A digest alone names no tag; the library would fill in latest.
		r.tag = ""
	}
	return r
}

// maxSaid is what the record takes of each list.
const maxSaid = 8

func clip(all []string) []string { return all[:min(len(all), maxSaid)] }

func sorted(all []string) []string {
	slices.Sort(all)
	return all
}
