package render

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
)

// FetchedDir is where fetched bases stand beside the files of a tree. No repository has a folder of this name: Git
// refuses it in a commit.
const FetchedDir = ".git/backstop-remotes"

// layers is a tree with what stands before it: files that are written anew, and folders that were fetched.
type layers struct {
	fs.FS
	// over are the contents of files, by path in the tree.
	over map[string][]byte
	// mounts are fetched folders, by their name below FetchedDir.
	mounts map[string]fs.FS
}

// Over is a tree in which some files that are there have other contents.
func Over(tree fs.FS, contents map[string][]byte) fs.FS { return &layers{FS: tree, over: contents} }

// mounted gives the fetched folder that a path is in, and the path in it.
func (l *layers) mounted(name string) (fs.FS, string, bool) {
	rest, ok := strings.CutPrefix(name, FetchedDir+"/")
	if !ok {
		return nil, "", false
	}
	mount, rest, _ := strings.Cut(rest, "/")
	fsys := l.mounts[mount]
	if rest == "" {
		rest = "."
	}
	return fsys, rest, fsys != nil
}

func (l *layers) isOver(name string) bool { return l.over[name] != nil }

func (l *layers) isMounted(name string) bool {
	_, _, ok := l.mounted(name)
	return ok
}

// Open is asked for by nobody: files are read whole.
func (l *layers) Open(name string) (fs.File, error) {
	if fsys, rest, ok := l.mounted(name); ok {
		return fsys.Open(rest)
	}
	return l.FS.Open(name)
}

// ReadFile reads a file.
func (l *layers) ReadFile(name string) ([]byte, error) {
	if data, ok := l.over[name]; ok {
		return data, nil
	}
	if fsys, rest, ok := l.mounted(name); ok {
		return fs.ReadFile(fsys, rest)
	}
	return fs.ReadFile(l.FS, name)
}

// ReadDir lists a folder of the tree, or of what was fetched.
func (l *layers) ReadDir(name string) ([]fs.DirEntry, error) {
	if fsys, rest, ok := l.mounted(name); ok {
		return fs.ReadDir(fsys, rest)
	}
	return fs.ReadDir(l.FS, name)
}

// Lstat describes a path without following links.
func (l *layers) Lstat(name string) (fs.FileInfo, error) {
	if data, ok := l.over[name]; ok {
		return &overInfo{name: path.Base(name), size: int64(len(data))}, nil
	}
	if len(l.mounts) > 0 && (name == FetchedDir || name == path.Dir(FetchedDir)) {
		return &overInfo{name: path.Base(name), mode: fs.ModeDir}, nil
	}
	if fsys, rest, ok := l.mounted(name); ok {
		return fs.Lstat(fsys, rest)
	}
	return fs.Lstat(l.FS, name)
}

// Stat is Lstat: no link is followed.
func (l *layers) Stat(name string) (fs.FileInfo, error) { return l.Lstat(name) }

// ReadLink is never asked: no link is followed.
func (l *layers) ReadLink(name string) (string, error) {
	return "", &fs.PathError{Op: "readlink", Path: name, Err: errLinked}
}

// mode is what a path is; a link anywhere on the way is an error.
func (l *layers) mode(rel string) (fs.FileMode, error) {
	if l.isOver(rel) {
		return 0, nil
	}
	at := "."
	for part := range strings.SplitSeq(rel, "/") {
		at = path.Join(at, part)
		info, err := l.Lstat(at)
		if err != nil {
			return 0, err
		}
		mode := info.Mode()
		if !mode.IsDir() && !mode.IsRegular() {
			return 0, fmt.Errorf("%s %w", at, errLinked)
		}
		if !mode.IsDir() && at != rel {
			return 0, &fs.PathError{Op: "stat", Path: rel, Err: fs.ErrNotExist}
		}
		if at == rel {
			return mode, nil
		}
	}
	return fs.ModeDir, nil
}

var errLinked = errors.New("is a link, which is not followed")

// overInfo describes what stands before a tree.
type overInfo struct {
	name string
	size int64
	mode fs.FileMode
}

func (o *overInfo) Name() string       { return o.name }
func (o *overInfo) Size() int64        { return o.size }
func (o *overInfo) Mode() fs.FileMode  { return o.mode }
func (o *overInfo) ModTime() time.Time { return time.Time{} }
func (o *overInfo) IsDir() bool        { return o.mode.IsDir() }
func (o *overInfo) Sys() any           { return nil }
