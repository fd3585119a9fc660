package gitrepo

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// nowhere explains why no node was found, and what to do.
func (l *locating) nowhere() error {
	q := l.query
	image := oneLine(q.Image, imageRunes)
	where, says := l.among()
	if q.ByPerson {
		if l.isPath(q.Image) || l.isPath(path.Join(q.Root.Path, q.Image)) {
			return l.refuse("%s is a path of the repository, and no image: ask for an image that is set there", image)
		}
		at, other, err := l.standsAt()
		if err != nil {
			return err
		}
		switch {
		case at != "":
			return l.refuse("no manifest that was read runs %s, but %s. Revert it there by hand", image, at)
		case other != "":
			return l.refuse("no manifest that was read runs %s, but %s: ask for that image", image, other)
		}
	}
	if len(l.unread) > 0 {
		return l.refuse("%s that can be read %s %s: %s. Edit it by hand", where, says, image,
			strings.Join(l.unread[:min(3, len(l.unread))], "; "))
	}
	hint := "what sets it is outside of them: a change by hand, the Kustomization's spec.images or postBuild, a chart's " +
		"defaults, a webhook or an operator"
	template, err := l.template()
	if err != nil {
		return err
	}
	var unread, submodules []string
	if template != "" {
		unread = append(unread, template+" has templates of a ResourceSet, which are not rendered")
	}
	for _, p := range l.files.Problems[:min(2, len(l.files.Problems))] {
		why := oneLine(p.Why, nameRunes)
		if p.Ref != "" || !p.Unfollowed { // else the sentence begins with the file
			why = oneLine(p.File, nameRunes) + ": " + why
		}
		unread, submodules = append(unread, why), append(submodules, p.Submodule)
	}
	closed, err := l.closed(submodules)
	if err != nil {
		return err
	}
	unread = append(unread, closed...)
	if len(unread) > 0 {
		hint += ", or what was not looked into: " + strings.Join(unread, "; ")
	}
	return reconcile.Refuse("%s %s %s; %s. Revert it there", where, says, image, hint)
}

// among begins the sentence: which files do not say the image, and the verb for so many of them.
func (l *locating) among() (files, says string) {
	q, tip := l.query, text.Short(l.Tip.String())
	files, says, were := fmt.Sprintf("none of the %d files", l.count), "says", "were"
	switch l.count {
	case 0:
		files, were = "no file", "was"
	case 1:
		files, says, were = "the only file", "does not say", "was"
	}
	if q.ByPerson {
		return fmt.Sprintf("%s that %s read below %q at %s", files, were, cmp.Or(q.Root.Path, "."), tip), says
	}
	return fmt.Sprintf("%s that %s renders from %q at %s", files, q.Root.By, q.Root.Path, tip), says
}

// isPath reports whether a file or a folder of the commit is called so.
func (l *locating) isPath(name string) bool {
	e, err := l.EntryAt(l.commit.Tree, path.Clean(name))
	return err == nil && !e.Hash.IsZero()
}

// template names a file of a ResourceSet whose templates may make the image of inputs; empty for none.
func (l *locating) template() (string, error) {
	_, tag, digest := manifest.Split(l.query.Image)
	for _, u := range l.units {
		for _, file := range u.files.Paths {
			e, err := l.EntryAt(l.commit.Tree, file)
			if err != nil {
				return "", err
			}
			data, ok, err := l.text(e.Hash)
			if err != nil {
				return "", err
			}
			says := tag != "" && indexWord(data, tag) >= 0 || digest != "" && bytes.Contains(data, []byte(digest))
			if ok && says && bytes.Contains(data, []byte("ResourceSet")) && manifest.IsTemplate(string(data)) {
				return oneLine(file, nameRunes), nil
			}
		}
	}
	return "", nil
}

// refuse is a sentence, and that a file names the image which cannot be read.
func (l *locating) refuse(format string, args ...any) error {
	refusal := &reconcile.Refusal{Sentence: fmt.Sprintf(format, args...)}
	if l.spoken {
		refusal.Err = errUnread
	}
	return refusal
}

// errUnread means that a file names the image and cannot be read as a manifest. The branch may still run the image.
var errUnread = errors.New("a file that names the image cannot be read")

// standsAt says in which file the text of the image stands, be it no manifest at all, and which commit brought it
// there; empty for none. other reports where it is part of the name of another image.
func (l *locating) standsAt() (at, other string, err error) {
	changes, err := l.Diff(plumbing.ZeroHash, l.commit.Tree, maxTreeFiles)
	if err != nil && !errors.Is(err, store.ErrManyChanges) {
		return "", "", err
	}
	for _, text := range spellings(l.query.Image) {
		for _, c := range changes {
			if err := l.ctx.Err(); err != nil {
				return "", "", err
			}
			if !c.After.Regular() {
				continue
			}
			data, ok, err := l.Content(c.After.Hash)
			if err != nil {
				return "", "", err
			}
			i := indexWord(data, text)
			if !ok || i < 0 {
				continue
			}
			whole := wholeReference(data, i, i+len(text))
			says := fmt.Sprintf("%s:%d says %s", oneLine(c.Path, nameRunes), bytes.Count(data[:i], []byte("\n"))+1,
				oneLine(whole, nameRunes))
			if whole != text {
				other = cmp.Or(other, says)
				continue
			}
			since, err := l.broughtText(c.Path, text)
			return says + since, "", err
		}
	}
	return "", other, nil
}

// wholeReference is the reference that a part of a text is in.
func wholeReference(data []byte, from, to int) string {
	start := from
	for from > 0 && (isWord(data[from-1]) || data[from-1] == '/' || data[from-1] == ':') && data[start-1] != ':' {
		from--
	}
	for to < len(data) && (isWord(data[to]) || strings.IndexByte("/:@", data[to]) >= 0) {
		to++
	}
	return strings.TrimRight(strings.TrimLeft(string(data[from:to]), "/:.-"), "/:.-@")
}

// spellings are the ways in which people write an image, the clearest first.
func spellings(image string) []string {
	repository, tag, digest := manifest.Split(image)
	out := []string{image}
	if tag != "" && digest != "" {
		out = append(out, repository+":"+tag)
	}
	if digest != "" {
		out = append(out, digest)
	}
	return out
}

// broughtText names the commit from which on a file holds a text.
func (l *locating) broughtText(path, words string) (string, error) {
	f, err := l.Follow(l.ctx, l.Tip, []string{path})
	if err != nil {
		return "", err
	}
	since := f.At
	for {
		newer := f.At
		c, changed, err := f.Back(l.ctx)
		if errors.Is(err, store.ErrTooFar) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		if c == nil {
			break
		}
		if len(changed) > 0 {
			if f.Files[0].Blob.IsZero() {
				if err := l.renamed(f, newer); err != nil {
					return "", err
				}
			}
			data, ok, err := l.text(f.Files[len(f.Files)-1].Blob)
			if err != nil {
				return "", err
			}
			if !ok || indexWord(data, words) < 0 {
				break
			}
		}
		since = c
	}
	return fmt.Sprintf(" since %s %q", text.Short(since.Hash.String()), subjectOf(since)), nil
}

// renamed goes on with a file under the path that it had before a commit.
func (l *locating) renamed(f *store.Follower, newer *store.Commit) error {
	changes, err := l.changesOf(f.At, newer)
	if err != nil {
		return err
	}
	if from := sameContent(changes, f.Files[0]); from != "" {
		return f.Rename(0, from)
	}
	return nil
}
