package gitrepo

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/backstop-dev/backstop/reconcile"
)

// front stands before the Git server and sends the next requests for references elsewhere.
type front struct {
	*httptest.Server
	mu    sync.Mutex
	to    string
	times int
	auth  []string
}

func newFront(t *testing.T, w *world) *front {
	f := &front{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.auth = append(f.auth, r.Header.Get("Authorization"))
		away := f.times > 0 && strings.HasSuffix(r.URL.Path, "/info/refs") && !strings.HasPrefix(r.URL.Path, "/moved")
		if away {
			f.times--
		}
		to := f.to
		f.mu.Unlock()
		if away {
			http.Redirect(rw, r, to+r.URL.Path+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
			return
		}
		r.URL.Path = strings.TrimPrefix(r.URL.Path, "/moved")
		w.server.ServeHTTP(rw, r)
	}))
	t.Cleanup(f.Close)
	return f
}

// send redirects the next requests for references.
func (f *front) send(to string, times int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.to, f.times, f.auth = to, times, nil
}

func TestARedirectToAnotherOriginIsRefusedByName(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	elsewhere := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Method+" "+r.URL.Path)
		mu.Unlock()
		_, _ = io.WriteString(rw, "001e# service=git-upload-pack\n0000")
	})
	plain, secure := httptest.NewServer(elsewhere), httptest.NewTLSServer(elsewhere)
	defer plain.Close()
	defer secure.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(plain.URL, "http://"), ":")
	w, bad := standard(t)
	f := newFront(t, w)
	w.src.URL = f.URL + "/org/fleet.git"
	for name, to := range map[string]string{
		"another port of the same host": plain.URL, "another name of the host": "http://localhost:" + port,
		"https where it was http": secure.URL,
	} {
		f.send(to, 1)
		_, err := w.mirrors.Blame(t.Context(), w.src, query(repo+":"+tag1))
		if kind := reconcile.KindOf(err); kind != reconcile.FaultRedirected || !strings.Contains(err.Error(), "redirects to "+to) {
			t.Errorf("%s: blame gives %v of the kind %q", name, err, kind)
		}
		// The next one goes where the source says.
		if s := w.blame(query(repo + ":" + tag1)); s.Commit != bad {
			t.Errorf("%s: blamed %q", name, s.Subject)
		}
	}
	if len(seen) > 0 {
		t.Errorf("the other origins were asked: %q", seen)
	}
	// A push is no different.
	wish := w.wish(w.blame(query(repo + ":" + tag1)))
	f.send(plain.URL, 2)
	if _, err := w.mirrors.Land(t.Context(), w.src, []reconcile.Revert{wish}); reconcile.KindOf(err) != reconcile.FaultRedirected {
		t.Errorf("land gives %v", err)
	}
	if f.send("", 0); len(seen) > 0 {
		t.Errorf("the other origin was asked: %q", seen)
	}
	w.land(wish)
}

func TestARedirectWithinTheOriginIsFollowedEachTime(t *testing.T) {
	t.Parallel()
	w, bad := standard(t)
	f := newFront(t, w)
	w.src.URL = f.URL + "/org/fleet.git"
	f.send("/moved", 100)
	s := w.blame(query(repo + ":" + tag1))
	if s.Commit != bad {
		t.Errorf("blamed %q", s.Subject)
	}
	w.land(w.wish(s))
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, auth := range f.auth {
		if auth == "" {
			t.Errorf("request %d of %d went without the credentials", i, len(f.auth))
		}
	}
}
