package gitserver

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
)

// What a repository advertises changes with its refs alone, and is asked for again and again by everybody who waits
// for a commit. Git makes it, in two processes; the same refs get the same bytes.

// advertised remembers the last advertisement of each kind.
type advertised struct {
	mu   sync.Mutex
	last map[string]advertisement // by user, address and protocol
}

type advertisement struct {
	state  [sha256.Size]byte
	answer *httptest.ResponseRecorder
}

// serve answers a request for an advertisement from memory, or by git, whose answer it keeps.
func (a *advertised) serve(w http.ResponseWriter, r *http.Request, user, root string, git http.Handler) {
	repo := filepath.Join(root, filepath.FromSlash(strings.TrimSuffix(path.Clean("/"+r.URL.Path), "/info/refs")))
	key := strings.Join([]string{user, r.URL.Path, r.URL.RawQuery, r.Header.Get("Git-Protocol"),
		r.Header.Get("Accept-Encoding")}, "\n")
	state, err := State(repo)
	if err != nil {
		git.ServeHTTP(w, r)
		return
	}
	a.mu.Lock()
	known, ok := a.last[key]
	a.mu.Unlock()
	if !ok || known.state != state {
		known = advertisement{state, httptest.NewRecorder()}
		git.ServeHTTP(known.answer, r)
		// Refs that moved meanwhile may be in the answer or not.
		if after, err := State(repo); err == nil && after == state && known.answer.Code == http.StatusOK {
			a.mu.Lock()
			a.last[key] = known
			a.mu.Unlock()
		}
	}
	for name, values := range known.answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(known.answer.Code)
	_, _ = w.Write(known.answer.Body.Bytes())
}

// State is a digest of what the answers of a bare repository depend on: the refs, HEAD and the configuration.
func State(repo string) (state [sha256.Size]byte, err error) {
	var all bytes.Buffer
	add := func(name string) error {
		content, err := os.ReadFile(filepath.Join(repo, name))
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		all.WriteString(name + "\n")
		all.Write(content)
		return nil
	}
	for _, name := range []string{"HEAD", "config", "packed-refs", "shallow"} {
		if err := add(name); err != nil {
			return state, err
		}
	}
	err = fs.WalkDir(os.DirFS(repo), "refs", func(name string, e fs.DirEntry, err error) error {
		if name != "refs" && errors.Is(err, fs.ErrNotExist) {
			return nil // gone meanwhile
		}
		if err != nil || e.IsDir() {
			return err
		}
		return add(name)
	})
	return sha256.Sum256(all.Bytes()), err
}
