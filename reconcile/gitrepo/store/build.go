package store

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	fluxsign "github.com/fluxcd/pkg/git/signature"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/backstop-dev/backstop/reconcile/gitrepo/wire"
)

// Builder makes new blobs, trees and commits. They stay in memory until they were pushed.
type Builder struct {
	objects *Objects
	new     *memory.Storage
	order   []plumbing.Hash
}

// NewBuilder builds on objects that are there.
func NewBuilder(o *Objects) *Builder { return &Builder{objects: o, new: memory.NewStorage()} }

// put makes an object. What exists already is sent as well: the server may have dropped it since.
func (b *Builder) put(t plumbing.ObjectType, data []byte) (plumbing.Hash, error) {
	o := &plumbing.MemoryObject{}
	o.SetType(t)
	if _, err := o.Write(data); err != nil {
		return plumbing.ZeroHash, fmt.Errorf("make an object: %w", err)
	}
	h, err := b.new.SetEncodedObject(o)
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("make an object: %w", err)
	}
	if !slices.Contains(b.order, h) {
		b.order = append(b.order, h)
	}
	return h, nil
}

// tree reads a tree that is new or was there.
func (b *Builder) tree(h plumbing.Hash) ([]byte, error) {
	if o, err := b.new.EncodedObject(plumbing.TreeObject, h); err == nil {
		return (&Objects{db: b.new}).read(plumbing.TreeObject, o.Hash(), maxObject)
	}
	return b.objects.tree(h)
}

// Replace makes a tree in which files have new contents, and those whose content is nil are not there. Every other byte
// of the trees on the way stays. It gives the zero hash for a folder of which nothing is left.
func (b *Builder) Replace(tree plumbing.Hash, contents map[string][]byte) (plumbing.Hash, error) {
	var raw []byte
	if !tree.IsZero() {
		there, err := b.tree(tree)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		raw = bytes.Clone(there)
	}
	below := map[string]map[string][]byte{}
	for path, data := range contents {
		name, rest, deeper := strings.Cut(path, "/")
		if deeper {
			if below[name] == nil {
				below[name] = map[string][]byte{}
			}
			below[name][rest] = data
			continue
		}
		h := plumbing.ZeroHash
		if data != nil {
			var err error
			if h, err = b.put(plumbing.BlobObject, data); err != nil {
				return plumbing.ZeroHash, err
			}
		}
		var err error
		if raw, err = withEntry(raw, name, h, true); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	for name, sub := range below {
		e, _ := find(raw, name)
		h, err := b.Replace(e.Hash, sub)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		if raw, err = withEntry(raw, name, h, false); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	if len(raw) == 0 {
		return plumbing.ZeroHash, nil
	}
	return b.put(plumbing.TreeObject, raw)
}

// withEntry puts an entry into raw tree bytes, changes its hash, or takes it out where the hash is zero.
func withEntry(raw []byte, name string, h plumbing.Hash, file bool) ([]byte, error) {
	_, there := find(raw, name)
	switch {
	case there && !h.IsZero():
		return raw, setEntry(raw, name, h, file)
	case !there && h.IsZero():
		return raw, nil
	}
	mode := "40000"
	if file {
		mode = "100644"
	}
	at := len(raw)
	for rest := raw; len(rest) > 0; {
		n, e, next, ok := nextEntry(rest)
		if !ok {
			return nil, fmt.Errorf("replace %s: %w", name, ErrCorrupt)
		}
		here := len(raw) - len(rest)
		if there && string(n) == name {
			if file != e.Regular() {
				return nil, fmt.Errorf("replace %s: there is no such entry", name)
			}
			return slices.Delete(raw, here, len(raw)-len(next)), nil
		}
		if !there && inOrder(name, !file) < inOrder(string(n), e.Mode == filemode.Dir) {
			at = here
			break
		}
		rest = next
	}
	entry := append([]byte(mode+" "+name+"\x00"), h[:]...)
	return slices.Insert(raw, at, entry...), nil
}

// inOrder is what Git sorts an entry by: a folder as if a slash ended its name.
func inOrder(name string, dir bool) string {
	if dir {
		return name + "/"
	}
	return name
}

// setEntry writes the hash of an entry that is there.
func setEntry(raw []byte, name string, h plumbing.Hash, file bool) error {
	for rest := raw; len(rest) > 0; {
		n, e, next, ok := nextEntry(rest)
		if !ok {
			break
		}
		if string(n) == name && e.Regular() == file {
			copy(rest[len(rest)-len(next)-20:len(rest)-len(next)], h[:])
			return nil
		}
		rest = next
	}
	return fmt.Errorf("replace %s: there is no such entry", name)
}

// Draft is a commit to be made.
type Draft struct {
	// Tree of the commit, and its only parent.
	Tree, Parent plumbing.Hash
	// Name and email of the author, who is the committer too.
	Name, Email string
	// When the commit is made, and what it says.
	When    time.Time
	Message string
	// Signer signs it; nil for none.
	Signer fluxsign.Signer
}

// Commit makes a commit object.
func (b *Builder) Commit(d Draft) (plumbing.Hash, error) {
	who := fmt.Sprintf("%s <%s> %d +0000", Ident(d.Name), Ident(d.Email), d.When.Unix())
	header := fmt.Sprintf("tree %s\nparent %s\nauthor %s\ncommitter %s\n", d.Tree, d.Parent, who, who)
	if d.Signer != nil {
		signature, err := d.Signer.Sign(strings.NewReader(header + "\n" + d.Message))
		if err != nil {
			return plumbing.ZeroHash, fmt.Errorf("sign the commit: %w", err)
		}
		lines := strings.ReplaceAll(strings.TrimRight(string(signature), "\n"), "\n", "\n ")
		header += "gpgsig " + lines + "\n"
	}
	return b.put(plumbing.CommitObject, []byte(header+"\n"+d.Message))
}

// maxIdent is how many runes a name or an address in a commit has.
const maxIdent = 200

// Ident is a name or address as a commit may hold it.
func Ident(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '<' || r == '>' {
			return -1
		}
		return r
	}, wire.OneLine(s, maxIdent))
	return strings.Trim(s, ` .,:;"'\`)
}

// update is a branch that goes from one commit to another with what was built.
func (b *Builder) update(old, head plumbing.Hash) wire.Update {
	return wire.Update{Old: old, New: head, From: b.new, Objects: b.order}
}

// ReadCommit reads a commit that was built.
func (b *Builder) ReadCommit(h plumbing.Hash) (*Commit, error) { return newObjects(b.new).Commit(h) }

// With reads what a builder has made too.
func (o *Objects) With(b *Builder) *Objects {
	return &Objects{db: b.new, below: o, trees: map[plumbing.Hash][]byte{}}
}

// store keeps what was pushed in the repository on disk.
func (b *Builder) store(into storer.EncodedObjectStorer) error {
	for _, h := range b.order {
		o, err := b.new.EncodedObject(plumbing.AnyObject, h)
		if err != nil {
			return fmt.Errorf("keep %s: %w", h, err)
		}
		if _, err := into.SetEncodedObject(o); err != nil {
			return fmt.Errorf("keep %s: %w", h, err)
		}
	}
	return nil
}
