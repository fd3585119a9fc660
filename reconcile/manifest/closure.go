package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// Closure finds the files that Flux renders for a Kustomization whose spec.path is root: what its kustomization file
// reaches, or without one every YAML file below, as kustomize-controller generates one. It never leaves the tree and
// never follows a symbolic link: references that would, and remote ones, become Problems. fsys must tell links and
// submodules by their mode, through fs.ReadLinkFS or Stat: fs.ModeSymlink and fs.ModeIrregular. What a .sourceignore
// leaves out is listed all the same. An error means that there is no such folder; it wraps fs.ErrNotExist where
// nothing has that name.
func Closure(fsys fs.FS, root string) (Files, error) { return NewGraph(fsys).Closure(root) }

// Graph is how the kustomizations of a tree refer to each other, for the closures of many roots: each file is read
// once. It is for one goroutine.
type Graph struct {
	fsys  fs.FS
	modes map[string]fs.FileMode
	// files are kustomization files that were read, by path; nil in one that cannot be.
	files map[string]*parsed
}

// NewGraph begins to read a tree, as Closure takes it.
func NewGraph(fsys fs.FS) *Graph {
	return &Graph{fsys: fsys, modes: map[string]fs.FileMode{}, files: map[string]*parsed{}}
}

// Folder cleans a path that a Flux object names. Flux joins it so that none leads out of the repository: at the root,
// .. is the root.
func Folder(name string) string {
	return cmp.Or(strings.TrimPrefix(path.Clean("/"+name), "/"), ".")
}

// Closure is the function of that name for a tree of which other roots were asked before.
func (g *Graph) Closure(root string) (Files, error) {
	_, files, err := g.closure(root)
	return files, err
}

func (g *Graph) closure(root string) (*closure, Files, error) {
	c := &closure{Graph: g, paths: map[string]bool{}, values: map[string]bool{}, problems: map[Problem]bool{},
		visited: map[string]bool{}, by: map[string][]string{}}
	dir := Folder(strings.ReplaceAll(root, `\`, "/"))
	if !fs.ValidPath(dir) {
		return nil, Files{}, fmt.Errorf("list the files of path %q: it is no path", shorten(root))
	}
	mode, err := c.mode(dir)
	if err != nil {
		return nil, Files{}, fmt.Errorf("list the files of path %q: %w", shorten(root), err)
	}
	if !mode.IsDir() {
		return nil, Files{}, fmt.Errorf("list the files of path %q: it is no folder", shorten(root))
	}
	if !c.kustomization(dir) {
		c.generated(dir)
	}
	for len(c.unread) > 0 {
		file := c.unread[len(c.unread)-1]
		c.unread = c.unread[:len(c.unread)-1]
		c.read(file)
	}
	files := Files{Paths: slices.Sorted(maps.Keys(c.paths)), Values: slices.Sorted(maps.Keys(c.values))}
	for problem := range c.problems {
		files.Problems = append(files.Problems, problem)
	}
	slices.SortFunc(files.Problems, func(a, b Problem) int {
		return strings.Compare(a.File+"\x00"+a.Why, b.File+"\x00"+b.Why)
	})
	return c, files, nil
}

// closure collects what a folder reaches. Everything is visited once, so cycles end.
type closure struct {
	*Graph
	paths, values map[string]bool
	problems      map[Problem]bool
	visited       map[string]bool
	// by are the kustomization files that name a file, or the folder of a kustomization file.
	by map[string][]string
	// unread are kustomization files to follow yet.
	unread []string
}

// The bounds within which a tree is followed.
const (
	maxPath     = 4096
	maxProblems = 1000
)

func (c *closure) note(p Problem) {
	if len(c.problems) < maxProblems {
		c.problems[p] = true
	}
}

// problem is one of a file itself.
func (c *closure) problem(file, format string, args ...any) {
	c.note(Problem{File: file, Why: fmt.Sprintf(format, args...)})
}

// misnamed is a problem of what a kustomization names. format has a verb for that.
func (c *closure) misnamed(from, ref, format string) {
	ref = shorten(ref)
	c.note(Problem{File: from, Ref: ref, Why: fmt.Sprintf(format, ref)})
}

// unfollowed is a problem of whoever reads the files this way, and not of the files. ref is empty where the file itself
// is not followed.
func (c *closure) unfollowed(from, ref string, err error) {
	p := Problem{File: from, Why: err.Error(), Unfollowed: true, Link: errors.Is(err, errLink)}
	if ref != "" {
		p.Ref = shorten(ref)
		p.Why = fmt.Sprintf("%q is not followed: %v", p.Ref, err)
	}
	var in inSubmodule
	if errors.As(err, &in) {
		p.Submodule = string(in)
	}
	c.note(p)
}

// errLink is what a path must not lead over, errLong is one that nobody means.
var (
	errLong = fmt.Errorf("its path is longer than %d bytes", maxPath)
	errLink = errors.New("is a symbolic link, which is not followed")
)

// inSubmodule is the error of a path that leads into a submodule: its folder.
type inSubmodule string

func (s inSubmodule) Error() string {
	return string(s) + " is in a submodule, which Backstop does not read"
}

// mode looks at a path without following a link anywhere on the way.
func (c *closure) mode(name string) (fs.FileMode, error) {
	if mode, ok := c.modes[name]; ok {
		return mode, nil
	}
	if len(name) > maxPath {
		return 0, errLong
	}
	if dir := path.Dir(name); name != "." {
		mode, err := c.mode(dir)
		if err != nil {
			return 0, err
		}
		if !mode.IsDir() {
			return 0, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
	}
	info, err := fs.Lstat(c.fsys, name)
	if err != nil {
		return 0, err
	}
	return c.judge(name, info.Mode())
}

// judge refuses what must not be followed, and remembers the rest.
func (c *closure) judge(name string, mode fs.FileMode) (fs.FileMode, error) {
	switch {
	case len(name) > maxPath:
		return 0, errLong
	case mode&fs.ModeSymlink != 0:
		return 0, fmt.Errorf("%s %w", name, errLink)
	case mode&fs.ModeIrregular != 0 || mode.IsDir() && name != "." && c.isCheckout(name):
		return 0, inSubmodule(name)
	case !mode.IsDir() && !mode.IsRegular():
		return 0, fmt.Errorf("%s is neither a file nor a folder", name)
	}
	c.modes[name] = mode
	return mode, nil
}

// isCheckout reports whether a folder is a repository of its own: a submodule that is checked out holds .git.
func (c *closure) isCheckout(dir string) bool {
	_, err := fs.Lstat(c.fsys, path.Join(dir, ".git"))
	return err == nil
}

// generated takes every YAML file below a folder that has no kustomization file, and folders that have one as bases:
// what kustomize-controller's generator does.
func (c *closure) generated(dir string) {
	if c.visited[dir] {
		return
	}
	c.visited[dir] = true
	entries, err := fs.ReadDir(c.fsys, dir)
	if err != nil {
		c.problem(dir, "cannot be listed: %v", err)
		return
	}
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		if Ignored(entry.Name()) {
			continue
		}
		mode, err := c.judge(name, entry.Type())
		switch {
		case err != nil:
			c.unfollowed(name, "", err)
		case mode.IsDir():
			if !c.kustomization(name) {
				c.generated(name)
			}
		case path.Ext(name) == ".yaml" || path.Ext(name) == ".yml":
			c.paths[name] = true
		}
	}
}

// Ignored reports whether source-controller leaves a name out of every artifact, as far as it is YAML or a folder.
func Ignored(name string) bool {
	switch name {
	case ".git", ".github", ".circleci", ".travis.yml", ".gitlab-ci.yml", "appveyor.yml", ".drone.yml", "cloudbuild.yaml",
		"codeship-services.yml", "codeship-steps.yml", ".goreleaser.yml", ".sops.yaml", ".flux.yaml":
		return true
	}
	return false
}

// manifest takes a file that a kustomization names. from is that kustomization.
func (c *closure) manifest(from, ref string) {
	if name, dir, ok := c.named(from, ref); ok && dir {
		c.misnamed(from, ref, "%q is a folder where a file is expected")
	} else if ok {
		c.paths[name] = true
		c.by[name] = append(c.by[name], from)
	}
}

// resource takes what a kustomization names as a resource: a file, or a folder with a kustomization of its own.
func (c *closure) resource(from, ref string) {
	switch name, dir, ok := c.named(from, ref); {
	case !ok:
	case !dir:
		c.paths[name] = true
		c.by[name] = append(c.by[name], from)
	case !c.kustomization(name):
		c.misnamed(from, ref, "the folder %q has no kustomization file")
	default:
		for _, kind := range Kustomizations {
			file := path.Join(name, kind)
			c.by[file] = append(c.by[file], from)
		}
	}
}

// named finds what a kustomization names, and whether that is a folder. Where nothing is found, the reason is noted.
func (c *closure) named(from, ref string) (name string, dir, ok bool) {
	if name, ok = c.inTree(from, ref); !ok {
		return "", false, false
	}
	mode, err := c.mode(name)
	if err != nil {
		c.missing(from, ref, err)
		return "", false, false
	}
	return name, mode.IsDir(), true
}

// missing tells why a reference was not followed. What is not in the tree may be a remote base.
func (c *closure) missing(from, ref string, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		c.misnamed(from, ref, "%q is not in the repository")
		return
	}
	c.unfollowed(from, ref, err)
}

// inTree gives the path in the tree of a reference in a kustomization.
func (c *closure) inTree(from, ref string) (string, bool) {
	switch {
	case isRemote(ref):
		ref = shorten(withoutSecret(ref))
		c.note(Problem{File: from, Ref: ref, Unfollowed: true, Remote: true,
			Why: fmt.Sprintf("%q is remote: only files of this repository are read", ref)})
		return "", false
	case strings.HasPrefix(ref, "/"):
		c.misnamed(from, ref, "%q is an absolute path")
		return "", false
	}
	name := path.Join(path.Dir(from), ref)
	if !fs.ValidPath(name) {
		c.misnamed(from, ref, "%q leads out of the repository")
		return "", false
	}
	return name, true
}

// isRemote reports whether kustomize would download a reference.
func isRemote(ref string) bool {
	return strings.Contains(ref, "://") || strings.HasPrefix(ref, "git::") || strings.HasPrefix(ref, "git@") ||
		strings.HasPrefix(ref, "github.com/") || strings.HasPrefix(ref, "github.com:") || strings.Contains(ref, "?ref=")
}

// withoutSecret cuts the user and the query out of a URL: either may carry a token.
func withoutSecret(ref string) string {
	ref, _, _ = strings.Cut(ref, "?")
	scheme, rest, ok := strings.Cut(ref, "://")
	if !ok {
		scheme, rest = "", ref
	}
	host, tail, _ := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	if tail != "" {
		host += "/" + tail
	}
	if ok {
		return scheme + "://" + host
	}
	return host
}

// ReadFile reads a plain file of a tree that is no larger than MaxFileSize. An error wraps ErrTooLarge for one that is.
func ReadFile(fsys fs.FS, name string) ([]byte, error) {
	info, err := fs.Lstat(fsys, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: it is no plain file", name)
	}
	if info.Size() > MaxFileSize {
		return nil, fmt.Errorf("read %s: %w: %d bytes, at most %d are read", name, ErrTooLarge, info.Size(), MaxFileSize)
	}
	return fs.ReadFile(fsys, name)
}
