package gitrepo

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

// replace makes a tree in which files have new contents, and those whose content is nil are not there. Every other byte
// of the trees on the way stays. It gives the zero hash for a folder of which nothing is left.
func (b *builder) replace(tree plumbing.Hash, contents map[string][]byte) (plumbing.Hash, error) {
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
		h, err := b.replace(e.hash, sub)
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
			return nil, fmt.Errorf("replace %s: %w", name, errCorrupt)
		}
		here := len(raw) - len(rest)
		if there && string(n) == name {
			if file != e.regular() {
				return nil, fmt.Errorf("replace %s: there is no such entry", name)
			}
			return slices.Delete(raw, here, len(raw)-len(next)), nil
		}
		if !there && inOrder(name, !file) < inOrder(string(n), e.mode == filemode.Dir) {
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
