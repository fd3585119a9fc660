package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// Snapshot is a snapshot: the tree of one commit as a read-only file system, for any number of goroutines. A symbolic
// link or a submodule is listed as what it is and cannot be opened: nothing in a repository leads out of it.
type Snapshot struct {
	objects *Objects
	root    plumbing.Hash
}

var (
	_ fs.ReadDirFS  = Snapshot{}
	_ fs.ReadFileFS = Snapshot{}
	_ fs.StatFS     = Snapshot{}
)

// Snapshot is the files of a tree, for as long as the repository on disk is what it is.
func (o *Objects) Snapshot(tree plumbing.Hash) Snapshot { return Snapshot{objects: o, root: tree} }

// at finds the entry of a path, as io/fs takes it.
func (t Snapshot) at(op, name string) (Entry, error) {
	if !fs.ValidPath(name) {
		return Entry{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	e := Entry{Mode: filemode.Dir, Hash: t.root}
	if name == "." {
		return e, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if e.Mode != filemode.Dir {
			return Entry{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
		raw, err := t.objects.tree(e.Hash)
		if err != nil {
			return Entry{}, &fs.PathError{Op: op, Path: name, Err: err}
		}
		next, ok := find(raw, part)
		if !ok {
			return Entry{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
		e = next
	}
	return e, nil
}

// ReadFile reads a file.
func (t Snapshot) ReadFile(name string) ([]byte, error) {
	e, err := t.at("read", name)
	if err != nil {
		return nil, err
	}
	if !e.Regular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New(e.What() + ", not a file")}
	}
	data, err := t.objects.Blob(e.Hash, manifest.MaxFileSize)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return data, nil
}

// Stat describes a path without following links.
func (t Snapshot) Stat(name string) (fs.FileInfo, error) {
	e, err := t.at("stat", name)
	if err != nil {
		return nil, err
	}
	return fileInfo{name: path.Base(name), entry: e, objects: t.objects}, nil
}

// ReadDir lists a folder, sorted by name. Names that could lead elsewhere are left out.
func (t Snapshot) ReadDir(name string) ([]fs.DirEntry, error) {
	e, err := t.at("readdir", name)
	if err != nil {
		return nil, err
	}
	if e.Mode != filemode.Dir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New(e.What() + ", not a folder")}
	}
	raw, err := t.objects.tree(e.Hash)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	var out []fs.DirEntry
	for {
		n, e, rest, ok := nextEntry(raw)
		if !ok {
			break
		}
		raw = rest
		if safeName(string(n)) {
			out = append(out, fs.FileInfoToDirEntry(fileInfo{name: string(n), entry: e, objects: t.objects}))
		}
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return out, nil
}

// safeName reports whether a name in a tree is a plain name. Git refuses the others, but anyone can write raw trees.
func safeName(n string) bool {
	return n != "" && n != "." && n != ".." && !strings.ContainsAny(n, "/\\\x00") && !strings.EqualFold(n, ".git")
}

// Open opens a file or folder.
func (t Snapshot) Open(name string) (fs.File, error) {
	info, err := t.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		entries, err := t.ReadDir(name)
		return &openFile{info: info, entries: entries}, err
	}
	data, err := t.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return &openFile{info: info, content: bytes.NewReader(data)}, nil
}

// What names the kind of entry in a sentence.
func (e Entry) What() string {
	switch {
	case e.Mode == filemode.Dir:
		return "a folder"
	case e.Mode == filemode.Symlink:
		return "a symbolic link"
	case e.Mode == filemode.Submodule:
		return "a submodule"
	case e.Regular():
		return "a file"
	}
	return fmt.Sprintf("an entry of mode %o", uint32(e.Mode))
}

type fileInfo struct {
	name    string
	entry   Entry
	objects *Objects
}

func (i fileInfo) Name() string { return i.name }

func (i fileInfo) ModTime() time.Time { return time.Time{} }

func (i fileInfo) IsDir() bool { return i.entry.Mode == filemode.Dir }

// Sys is the hash of the blob or the tree as a string: what has the same one is the same.
func (i fileInfo) Sys() any { return i.entry.Hash.String() }

func (i fileInfo) Size() int64 {
	if !i.entry.Regular() {
		return 0
	}
	return i.objects.size(i.entry.Hash)
}

func (i fileInfo) Mode() fs.FileMode {
	switch {
	case i.entry.Mode == filemode.Dir:
		return fs.ModeDir | 0o755
	case i.entry.Mode == filemode.Symlink:
		return fs.ModeSymlink | 0o777
	case i.entry.Regular():
		return 0o644
	}
	return fs.ModeIrregular
}

type openFile struct {
	info    fs.FileInfo
	content *bytes.Reader
	entries []fs.DirEntry
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }

func (f *openFile) Close() error { return nil }

func (f *openFile) Read(p []byte) (int, error) {
	if f.content == nil {
		return 0, &fs.PathError{Op: "read", Path: f.info.Name(), Err: errors.New("is a folder")}
	}
	return f.content.Read(p)
}

// ReadDir reads the folder in order.
func (f *openFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 || n > len(f.entries) {
		if n > 0 && len(f.entries) == 0 {
			return nil, io.EOF
		}
		n = len(f.entries)
	}
	out := f.entries[:n]
	f.entries = f.entries[n:]
	return out, nil
}
