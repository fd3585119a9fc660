package gitrepo

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
)

// closed says which files of the tree may say anything, since their content is elsewhere or encrypted: one of each
// kind, and how many there are. Submodules that were named already are left out.
func (l *locating) closed(named []string) ([]string, error) {
	changes, err := l.Diff(plumbing.ZeroHash, l.commit.Tree, maxTreeFiles)
	if err != nil && !errors.Is(err, store.ErrManyChanges) {
		return nil, err
	}
	found := make([][]string, len(closedAs))
	for _, c := range changes {
		if err := l.ctx.Err(); err != nil {
			return nil, err
		}
		kind, err := l.closedKind(c)
		if err != nil {
			return nil, err
		}
		if kind >= 0 && !(kind == closedSubmodule && slices.Contains(named, c.Path)) {
			found[kind] = append(found[kind], c.Path)
		}
	}
	var out []string
	for kind, files := range found {
		if len(files) > 0 {
			slices.Sort(files)
			one := oneLine(files[0], nameRunes) + " " + closedAs[kind]
			if more := len(files) - 1; more > 0 {
				one += fmt.Sprintf(", as %d more", more)
			}
			out = append(out, one)
		}
	}
	return out, nil
}

// closedAs says why a file cannot be looked into, by kind.
var closedAs = []string{
	"is a submodule", "is in Git LFS", "is encrypted by git-crypt", "is encrypted by SOPS",
}

const (
	closedSubmodule = iota
	closedLFS
	closedCrypt
	closedSOPS
)

// closedKind is why a file cannot be looked into; -1 where it can.
func (l *locating) closedKind(c store.Change) (int, error) {
	if c.After.Mode == filemode.Submodule {
		return closedSubmodule, nil
	}
	if !c.After.Regular() || !isYAML(c.Path) && path.Ext(c.Path) != ".json" && path.Ext(c.Path) != ".env" {
		return -1, nil
	}
	if !l.query.ByPerson && !l.reaches(c.Path) {
		return -1, nil
	}
	data, ok, err := l.Content(c.After.Hash)
	switch {
	case err != nil || !ok:
		return -1, err
	case bytes.HasPrefix(data, []byte("version https://git-lfs.github.com/spec/")):
		return closedLFS, nil
	case bytes.HasPrefix(data, []byte("\x00GITCRYPT\x00")):
		return closedCrypt, nil
	case bytes.Contains(data, []byte("ENC[AES256_GCM,")) && bytes.Contains(data, []byte("sops")):
		return closedSOPS, nil
	}
	return -1, nil
}

// reaches reports whether a file is among what was looked at.
func (l *locating) reaches(file string) bool {
	return slices.ContainsFunc(l.units, func(u *unit) bool {
		return slices.Contains(u.files.Paths, file) || slices.Contains(u.files.Values, file)
	})
}
