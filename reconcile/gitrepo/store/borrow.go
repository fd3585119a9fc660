package store

import (
	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/filesystem/dotgit"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// borrowed are the objects of a clone and of the repositories that it borrows from, as `git clone --shared` and
// --reference make them. Go-git would read the index of those anew for each object.
type borrowed struct {
	storer.EncodedObjectStorer
	lenders []storer.EncodedObjectStorer
}

// borrowing gives the objects of a storage with those that it borrows; the storage itself where it borrows none.
func borrowing(own storer.EncodedObjectStorer) storer.EncodedObjectStorer {
	s, ok := own.(*filesystem.Storage)
	if !ok {
		return own
	}
	dir := dotgit.NewWithOptions(s.Filesystem(), dotgit.Options{AlternatesFS: osfs.New("/")})
	lenders, err := dir.Alternates()
	if err != nil || len(lenders) == 0 {
		return own
	}
	out := &borrowed{EncodedObjectStorer: own}
	for _, lender := range lenders {
		out.lenders = append(out.lenders, filesystem.NewStorageWithOptions(lender.Fs(), cache.NewObjectLRU(cacheSize),
			filesystem.Options{KeepDescriptors: true, LargeObjectThreshold: manifest.MaxFileSize, AlternatesFS: osfs.New("/")}))
	}
	return out
}

// EncodedObject looks with the lenders first: nearly all is theirs.
func (b *borrowed) EncodedObject(t plumbing.ObjectType, h plumbing.Hash) (plumbing.EncodedObject, error) {
	for _, lender := range b.lenders {
		if obj, err := lender.EncodedObject(t, h); err == nil {
			return obj, nil
		}
	}
	return b.EncodedObjectStorer.EncodedObject(t, h)
}

// HasEncodedObject says by an error where an object is with none of them.
func (b *borrowed) HasEncodedObject(h plumbing.Hash) error {
	for _, lender := range b.lenders {
		if lender.HasEncodedObject(h) == nil {
			return nil
		}
	}
	return b.EncodedObjectStorer.HasEncodedObject(h)
}
