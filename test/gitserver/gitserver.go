// Package gitserver serves Git repositories on loopback, over HTTP, HTTPS and SSH, for tests and the demo. What
// answers is git itself: git http-backend behind a CGI handler, git upload-pack and git receive-pack behind an SSH
// server. Faults can be put before it, and hooks into its repositories.
package gitserver

import (
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options of an HTTP server. The zero value serves a new temporary folder to everybody on a free port.
type Options struct {
	// Root is the folder of the bare repositories; a temporary one when empty.
	Root string
	// Addr to listen on; a free port of 127.0.0.1 when empty.
	Addr string
	// Username and Password ask for basic authentication, Bearer for a token. All empty lets everybody in.
	Username, Password, Bearer string
	// TLS serves HTTPS with it.
	TLS *tls.Config
}

// Server is a running HTTP server.
type Server struct {
	// Root is the folder of the bare repositories.
	Root string
	// URL without a slash at its end and without credentials.
	URL string

	options  Options
	http     *http.Server
	backend  *cgi.Handler
	faults   chan struct{}
	closed   sync.Once
	mu       sync.Mutex
	fault    Fault
	pushes   atomic.Int64
	requests atomic.Int64
	owned    bool
	known    advertised
}

// Fault answers a request in git's place. It says false to let the request through.
type Fault func(w http.ResponseWriter, r *http.Request) bool

// Start serves until Close.
func Start(o Options) (*Server, error) {
	s := &Server{Root: o.Root, options: o, faults: make(chan struct{})}
	s.known.last = map[string]advertisement{}
	if s.Root == "" {
		dir, err := os.MkdirTemp("", "gitserver-")
		if err != nil {
			return nil, fmt.Errorf("make a folder: %w", err)
		}
		s.Root, s.owned = dir, true
	}
	backend, err := httpBackend()
	if err != nil {
		return nil, fmt.Errorf("find git: %w", err)
	}
	s.backend = &cgi.Handler{
		Path: backend, Dir: s.Root, Logger: log.New(discard{}, "", 0), Stderr: discard{},
		Env:        append(Env(), "GIT_PROJECT_ROOT="+s.Root, "GIT_HTTP_EXPORT_ALL=1"),
		InheritEnv: []string{"PATH"},
	}
	addr := o.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(discard{}, "", 0)}
	s.URL = "http://" + l.Addr().String()
	if o.TLS != nil {
		s.URL = "https://" + l.Addr().String()
		l = tls.NewListener(l, o.TLS)
	}
	go func() { _ = s.http.Serve(l) }()
	return s, nil
}

// httpBackend is git's own program: to start it by git costs a process more at each request.
var httpBackend = sync.OnceValues(func() (string, error) {
	dir, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return "", fmt.Errorf("ask git for its programs: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(dir)), "git-http-backend"), nil
})

// Close stops the server, lets hanging requests go, and removes a temporary folder.
func (s *Server) Close() error {
	s.closed.Do(func() { close(s.faults) })
	err := s.http.Close()
	if s.owned {
		err = errors.Join(err, os.RemoveAll(s.Root))
	}
	return err
}

// ServeHTTP asks for credentials, lets the fault answer, then git.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	s.mu.Lock()
	fault := s.fault
	s.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	user, ok := s.login(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/git-receive-pack") {
		s.pushes.Add(1)
	}
	backend := *s.backend
	// git http-backend accepts a push only from somebody with a name.
	backend.Env = append(append([]string{}, s.backend.Env...), "REMOTE_USER="+user)
	if v := r.Header.Get("Git-Protocol"); v != "" {
		backend.Env = append(backend.Env, "GIT_PROTOCOL="+v)
	}
	if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/info/refs") {
		s.known.serve(w, r, user, s.Root, &backend)
		return
	}
	backend.ServeHTTP(w, r)
}

func (s *Server) login(r *http.Request) (string, bool) {
	o := s.options
	same := func(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
	if o.Bearer != "" {
		return "bearer", same(r.Header.Get("Authorization"), "Bearer "+o.Bearer)
	}
	if o.Username == "" && o.Password == "" {
		return "anybody", true
	}
	name, password, ok := r.BasicAuth()
	return name, ok && same(name, o.Username) && same(password, o.Password)
}

// Pushes counts the packs that were sent.
func (s *Server) Pushes() int { return int(s.pushes.Load()) }

// Requests counts everything that was asked.
func (s *Server) Requests() int { return int(s.requests.Load()) }

// SetFault puts a fault before git; nil takes it away.
func (s *Server) SetFault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Answer is a fault: every request gets a status and words.
func Answer(code int, words string, headers ...string) Fault {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		http.Error(w, words, code)
		return true
	}
}

// Drop is a fault: the connection is closed without an answer.
func Drop() Fault {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = c.Close()
		}
		return true
	}
}

// Hang is a fault: nothing is answered until the client goes or the server is closed.
func (s *Server) Hang() Fault {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-r.Context().Done():
		case <-s.faults:
		}
		return true
	}
}

// On limits a fault to requests whose path ends so, such as "/git-receive-pack".
func On(suffix string, f Fault) Fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		return strings.HasSuffix(r.URL.Path, suffix) && f(w, r)
	}
}

// Create makes a bare repository with the branch main, and gives its folder. Its URL is the server's, a slash and name.
func (s *Server) Create(name string) (string, error) { return Create(s.Root, name) }

// Create makes a bare repository with the branch main below a folder.
func Create(root, name string) (string, error) {
	dir := filepath.Join(root, filepath.FromSlash(name))
	cmd := exec.Command("git", "init", "--quiet", "--bare", "--initial-branch=main", dir)
	cmd.Env = Env()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("git init: %w: %s", err, out)
	}
	return dir, nil
}

// Hook puts a shell script into a repository, such as pre-receive.
func Hook(repo, name, script string) error {
	path := filepath.Join(repo, "hooks", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the hooks folder: %w", err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		return fmt.Errorf("write hook: %w", err)
	}
	return nil
}

// Env is an environment in which git reads no configuration of the user or the machine.
func Env() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		// Git tidies up in the background otherwise, also when the test's folder is removed already.
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=maintenance.auto", "GIT_CONFIG_VALUE_0=false",
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
