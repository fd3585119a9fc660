package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/backstop-dev/backstop/gate/sources"
	"github.com/backstop-dev/backstop/reconcile/manifest"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// The bounds of what is fetched.
const (
	// maxFetches is how many remote references of one check are fetched.
	maxFetches = 200
	// fetchLimit is how long one may take.
	fetchLimit = time.Minute
)

// fetcher fetches what kustomizations refer to and somebody allowed. Kustomize itself fetches nothing: it would follow
// redirects, submodules and the references of what it fetched to any host.
type fetcher struct {
	ctx   context.Context
	allow []string

	mu    sync.Mutex
	known map[string]*fetchedRef
	// dir is a temporary folder of this check; empty before the first fetch.
	dir string
}

// fetchedRef is what came of one reference.
type fetchedRef struct {
	once sync.Once
	// name of the folder below remotesDir, and the path in it that the reference means.
	name, path string
	fs         fs.FS
	err        error
}

func newFetcher(ctx context.Context, allow []string) *fetcher {
	return &fetcher{ctx: ctx, allow: allow, known: map[string]*fetchedRef{}}
}

// close removes what was fetched.
func (f *fetcher) close() error {
	if f.dir == "" {
		return nil
	}
	return os.RemoveAll(f.dir)
}

// allows reports whether a remote reference is one that the user allowed.
func (f *fetcher) allows(ref string) bool {
	at, err := locationOf(ref)
	return err == nil && f.allowsAddress(at.address())
}

// allowsAddress holds an address against what is allowed: a host, or a host and the beginning of a path. Where that
// ends, so does a part of the address, unless a star is at its end.
func (f *fetcher) allowsAddress(at string) bool {
	return slices.ContainsFunc(f.allow, func(prefix string) bool {
		prefix, open := strings.CutSuffix(strings.ToLower(prefix), "*")
		rest, ok := strings.CutPrefix(at, prefix)
		return ok && prefix != "" && (open || rest == "" || strings.HasSuffix(prefix, "/") || rest[0] == '/')
	})
}

// location is a remote reference, taken apart as kustomize does.
type location struct {
	// scheme is empty for user@host:path.
	scheme, user, host string
	// repository is the path of the clone, folder the one in it, revision what to check out; empty for the default branch.
	repository, folder, revision string
	// marked means that the reference names a folder of a repository beyond doubt.
	marked bool
}

// address is the host and path that are held against what is allowed.
func (l *location) address() string {
	return strings.ToLower(l.host + "/" + strings.TrimSuffix(strings.TrimPrefix(l.repository, "/"), ".git"))
}

// remote is what git is told.
func (l *location) remote() string {
	if l.scheme == "" {
		return l.user + "@" + l.host + ":" + l.repository
	}
	u := url.URL{Scheme: l.scheme, Host: l.host, Path: l.repository}
	if l.user != "" {
		u.User = url.User(l.user)
	}
	return u.String()
}

var errLocation = errors.New("is no address that is understood")

// locationOf takes a reference apart. What could be read in two ways is refused.
func locationOf(ref string) (*location, error) {
	if len(ref) > 4 && strings.EqualFold(ref[:5], "git::") {
		ref = ref[5:]
	}
	whole, query, _ := strings.Cut(ref, "?")
	values, err := url.ParseQuery(query)
	if err != nil || strings.ContainsAny(whole, "\\%# \t\r\n") || slices.Contains(strings.Split(whole, "/"), "..") {
		return nil, errLocation
	}
	l := &location{revision: values.Get("ref")}
	if l.revision == "" {
		l.revision = values.Get("version")
	}
	if strings.HasPrefix(l.revision, "-") {
		return nil, errLocation
	}
	scheme, rest, ok := strings.Cut(whole, "://")
	switch {
	case !ok && render.UserAt.MatchString(strings.ToLower(whole)):
		l.user, rest, _ = strings.Cut(whole, "@")
		l.host, rest, ok = strings.Cut(rest, ":")
	case !ok:
		// github.com/acme/base
		l.scheme = "https"
		l.host, rest, ok = strings.Cut(strings.Replace(whole, ":", "/", 1), "/")
	default:
		var u *url.URL
		if u, err = url.Parse(strings.ToLower(scheme) + "://" + rest); err != nil {
			return nil, errLocation
		}
		l.scheme, l.host, rest = u.Scheme, u.Host, strings.TrimPrefix(rest[strings.IndexByte(rest+"/", '/'):], "/")
		if _, secret := u.User.Password(); secret {
			return nil, errLocation
		}
		l.user = u.User.Username()
		ok = l.scheme == "https" || l.scheme == "http" || l.scheme == "ssh"
	}
	if !ok || l.host == "" || strings.ContainsAny(l.host, "@/") || rest == "" {
		return nil, errLocation
	}
	l.marked = query != ""
	l.split(rest)
	return l, nil
}

// split finds where the repository ends and the folder in it begins.
func (l *location) split(rest string) {
	end := -1
	switch {
	case strings.Contains(rest, "_git/"):
		at := strings.Index(rest, "_git/") + len("_git/")
		if end = at + strings.IndexByte(rest[at:]+"/", '/'); end > len(rest) {
			end = len(rest)
		}
	case strings.Contains(rest, "//"):
		end = strings.Index(rest, "//")
	case strings.Contains(rest, ".git"):
		end = strings.Index(rest, ".git") + len(".git")
	}
	l.marked = l.marked || end >= 0
	if parts := strings.Split(rest, "/"); end < 0 {
		end = len(strings.Join(parts[:min(2, len(parts))], "/"))
	}
	l.repository, l.folder = rest[:end], path.Clean(strings.Trim(rest[end:], "/"))
}

// get fetches a reference once.
func (f *fetcher) get(ref string) (*fetchedRef, error) {
	f.mu.Lock()
	r := f.known[ref]
	if r == nil {
		r = &fetchedRef{name: fmt.Sprint(len(f.known)), err: fmt.Errorf("more than %d references are fetched", maxFetches)}
		f.known[ref] = r
	}
	over := len(f.known) > maxFetches
	var err error
	if f.dir == "" {
		f.dir, err = os.MkdirTemp("", "backstop-remotes-")
	}
	f.mu.Unlock()
	if err != nil || over {
		return nil, errors.Join(err, r.err)
	}
	r.once.Do(func() { r.err = f.fetch(r, ref) })
	return r, r.err
}

// fetch tries a reference as what it most probably is, a file or a folder of a repository, then as the other.
func (f *fetcher) fetch(r *fetchedRef, ref string) error {
	at, err := locationOf(ref)
	if err != nil {
		return err
	}
	dir := filepath.Join(f.dir, r.name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(f.ctx, fetchLimit)
	defer cancel()
	if strings.HasPrefix(at.scheme, "http") && !at.marked {
		if err = f.file(ctx, r, dir, ref); err == nil {
			return nil
		}
	}
	if gitErr := f.clone(ctx, dir, at); gitErr != nil {
		return errors.Join(gitErr, err)
	}
	r.path = at.folder
	r.fs, err = sources.OpenFolder(dir)
	return err
}

// file downloads a manifest. A web page is refused.
func (f *fetcher) file(ctx context.Context, r *fetchedRef, dir, ref string) error {
	client := &http.Client{CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if !f.allows(req.URL.String()) || len(via) > 5 {
			return fmt.Errorf("it leads to %s, which nobody allowed", req.URL.Host)
		}
		if via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https" {
			return fmt.Errorf("it leads from TLS to plain HTTP at %s", req.URL.Host)
		}
		return nil
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ref, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", ref, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, manifest.MaxFileSize+1))
	switch {
	case err != nil:
		return err
	case len(data) > manifest.MaxFileSize:
		return fmt.Errorf("GET %s: %w", ref, manifest.ErrTooLarge)
	case strings.Contains(resp.Header.Get("Content-Type"), "text/html"):
		return fmt.Errorf("GET %s: it is a web page", ref)
	}
	r.path = path.Base(req.URL.Path)
	if err := os.WriteFile(filepath.Join(dir, r.path), data, 0o600); err != nil {
		return err
	}
	r.fs, err = sources.OpenFolder(dir)
	return err
}

// ofNoRepository is an environment without what leads git to a repository: a hook has that of the user's, which git
// would check out over.
func ofNoRepository(environ []string) []string {
	leads := []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX",
		"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_CEILING_DIRECTORIES"}
	return slices.DeleteFunc(environ, func(set string) bool {
		name, _, _ := strings.Cut(set, "=")
		return slices.Contains(leads, strings.ToUpper(name))
	})
}

// clone has git fetch one commit, from this host alone: without submodules, hooks and redirects.
func (f *fetcher) clone(ctx context.Context, dir string, at *location) error {
	revision := at.revision
	if revision == "" {
		revision = "HEAD"
	}
	for _, args := range [][]string{
		{"init", "--quiet"},
		{"fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--", at.remote(), revision},
		{"checkout", "--quiet", "FETCH_HEAD"},
	} {
		cmd := exec.CommandContext(ctx, "git", append([]string{
			"-c", "http.followRedirects=false", "-c", "core.hooksPath=" + os.DevNull, "-c", "core.symlinks=false",
			"-c", "filter.lfs.smudge=", "-c", "filter.lfs.process=", "-c", "filter.lfs.required=false",
		}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(ofNoRepository(os.Environ()), "GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=http:https:ssh",
			"GIT_LFS_SKIP_SMUDGE=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s %s: %w: %s", args[0], at.address(), err, render.Words(errors.New(string(out))))
		}
	}
	// What is left is a folder like any other.
	return os.RemoveAll(filepath.Join(dir, ".git"))
}
