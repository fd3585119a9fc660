package gitrepo

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	fluxsign "github.com/fluxcd/pkg/git/signature"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/memory"
)

// builder makes new blobs, trees and commits. They stay in memory until they were pushed.
type builder struct {
	objects *objects
	new     *memory.Storage
	order   []plumbing.Hash
}

func newBuilder(o *objects) *builder { return &builder{objects: o, new: memory.NewStorage()} }

// put makes an object. What exists already is sent as well: the server may have dropped it since.
func (b *builder) put(t plumbing.ObjectType, data []byte) (plumbing.Hash, error) {
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
func (b *builder) tree(h plumbing.Hash) ([]byte, error) {
	if o, err := b.new.EncodedObject(plumbing.TreeObject, h); err == nil {
		return (&objects{db: b.new}).read(plumbing.TreeObject, o.Hash(), maxObject)
	}
	return b.objects.tree(h)
}

// replace makes a tree in which files have new contents. Every other byte of the trees on the way stays.
func (b *builder) replace(tree plumbing.Hash, contents map[string][]byte) (plumbing.Hash, error) {
	raw, err := b.tree(tree)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	raw = bytes.Clone(raw)
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
		h, err := b.put(plumbing.BlobObject, data)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		if err := setEntry(raw, name, h, true); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	for name, sub := range below {
		e, ok := find(raw, name)
		if !ok {
			return plumbing.ZeroHash, fmt.Errorf("replace files below %s: there is no such folder", name)
		}
		h, err := b.replace(e.hash, sub)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		if err := setEntry(raw, name, h, false); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	return b.put(plumbing.TreeObject, raw)
}

// setEntry writes the hash of an entry that is there.
func setEntry(raw []byte, name string, h plumbing.Hash, file bool) error {
	for rest := raw; len(rest) > 0; {
		n, e, next, ok := nextEntry(rest)
		if !ok {
			break
		}
		if string(n) == name && e.regular() == file {
			copy(rest[len(rest)-len(next)-20:len(rest)-len(next)], h[:])
			return nil
		}
		rest = next
	}
	return fmt.Errorf("replace %s: there is no such entry", name)
}

// draft is a commit to be made.
type draft struct {
	tree, parent plumbing.Hash
	// name and email of the author, who is the committer too.
	name, email string
	when        time.Time
	message     string
	signer      fluxsign.Signer
}

// commit makes a commit object.
func (b *builder) commit(d draft) (plumbing.Hash, error) {
	who := fmt.Sprintf("%s <%s> %d +0000", ident(d.name), ident(d.email), d.when.Unix())
	header := fmt.Sprintf("tree %s\nparent %s\nauthor %s\ncommitter %s\n", d.tree, d.parent, who, who)
	if d.signer != nil {
		signature, err := d.signer.Sign(strings.NewReader(header + "\n" + d.message))
		if err != nil {
			return plumbing.ZeroHash, fmt.Errorf("sign the commit: %w", err)
		}
		lines := strings.ReplaceAll(strings.TrimRight(string(signature), "\n"), "\n", "\n ")
		header += "gpgsig " + lines + "\n"
	}
	return b.put(plumbing.CommitObject, []byte(header+"\n"+d.message))
}

// ident is a name or address as a commit may hold it.
func ident(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '<' || r == '>' {
			return -1
		}
		return r
	}, oneLine(s, 200))
	return strings.Trim(s, ` .,:;"'\`)
}

// store keeps what was pushed in the repository on disk.
func (b *builder) store(into storer.EncodedObjectStorer) error {
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
