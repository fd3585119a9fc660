package gate_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/gate"
	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// listener is a web server that notes what it is asked for.
type listener struct {
	*httptest.Server
	mu  sync.Mutex
	got []string
}

func listen(t *testing.T, answer http.HandlerFunc) *listener {
	t.Helper()
	l := &listener{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.got = append(l.got, r.Method+" "+r.URL.Path)
		l.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *listener) asked() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.got
}

// prefix is what allows everything on the server.
func (l *listener) prefix() string { return strings.TrimPrefix(l.URL, "http://") + "/" }

func TestGateFetchesNothingThatAChangeNames(t *testing.T) {
	stranger := listen(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ghcr.io/acme/secret")) })
	gen := "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: leak}\nfiles: [\"x=" + stranger.URL + "/key\"]\n"
	patch := "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: x}\npath: " + stranger.URL + "/patch\n"
	indent := func(s string) string { return strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n  ") }
	remote := "resources: ['" + stranger.URL + "/x']\n"
	for title, files := range map[string]map[string]string{
		"a generator's file":      {"app/kustomization.yaml": "generators: [gen.yaml]\n", "app/gen.yaml": gen},
		"a generator in line":     {"app/kustomization.yaml": "generators:\n- |-\n  " + indent(gen) + "\n"},
		"a transformer's file":    {"app/kustomization.yaml": "transformers: [t.yaml]\n", "app/t.yaml": patch},
		"a transformer in line":   {"app/kustomization.yaml": "transformers:\n- |-\n  " + indent(patch) + "\n"},
		"a validator in line":     {"app/kustomization.yaml": "validators:\n- |-\n  " + indent(patch) + "\n"},
		"a file without an end":   {"app/kustomization.yaml": "generators: [gen]\n", "app/gen": gen},
		"the second of two":       {"app/kustomization.yaml": "transformers: [t.yaml]\n", "app/t.yaml": strings.Replace(patch, "path: ", "patch: '{}' # ", 1) + "---\n" + strings.Replace(patch, "name: x", "name: y", 1)},
		"a local configuration":   {"app/kustomization.yaml": "transformers: [t.yaml]\n", "app/t.yaml": strings.Replace(patch, "{name: x}", "{name: x, annotations: {config.kubernetes.io/local-config: 'true'}}", 1)},
		"an environment file":     {"app/kustomization.yaml": "configMapGenerator: [{name: x, envs: ['" + stranger.URL + "/x']}]\n"},
		"a question mark":         {"app/kustomization.yaml": "configMapGenerator: [{name: x, files: ['k=" + stranger.URL + "/x?a=b']}]\n"},
		"a space":                 {"app/kustomization.yaml": "configMapGenerator: [{name: x, files: ['k=" + stranger.URL + "/a b']}]\n"},
		"a colon and a space":     {"app/kustomization.yaml": "generators: ['" + stranger.URL + "/x: y']\n"},
		"a replacement's file":    {"app/kustomization.yaml": "replacements: [{path: '" + stranger.URL + "/x'}]\n"},
		"a component of Flux":     {"app/ks.yaml": flux("./app", "components: ['"+stranger.URL+"/x?ref=y']")},
		"a patch of a base":       {"app/kustomization.yaml": "resources: [base]\n", "app/base/kustomization.yaml": "patches: [{path: '" + stranger.URL + "/x'}]\n"},
		"a base with another tag": {"app/kustomization.yaml": "resources: ['HTTP" + strings.TrimPrefix(stranger.URL, "http") + "/x']\n"},
		"what a folder renders": {"app/kustomization.yaml": "transformers: [made]\n",
			"app/made/kustomization.yaml": "resources: [t.yaml]\npatches:\n- target: {kind: PatchTransformer}\n  patch: |-\n    [{op: replace, path: /path, value: '" + stranger.URL + "/x'}]\n",
			"app/made/t.yaml":             "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: x}\npath: none.yaml\n"},
		"a generator of generators": {"app/kustomization.yaml": "generators: [made]\n",
			"app/made/kustomization.yaml": "generators: [gen.yaml]\n", "app/made/gen.yaml": gen},
		// Kustomize reads keys as encoding/json does.
		"generators in other letters":   {"app/kustomization.yaml": "Generators: [gen.yaml]\n", "app/gen.yaml": gen},
		"generators with a long s":      {"app/kustomization.yaml": "generator\u017f: [gen.yaml]\n", "app/gen.yaml": gen},
		"resources in other letters":    {"app/kustomization.yaml": "Resources: [base]\n", "app/base/kustomization.yaml": remote},
		"bases in other letters":        {"app/kustomization.yaml": "Bases: [base]\n", "app/base/kustomization.yaml": remote},
		"transformers in other letters": {"app/kustomization.yaml": "Transformers: [made]\n", "app/made/kustomization.yaml": remote},
		"components in other letters": {"app/kustomization.yaml": "COMPONENTS: [base]\n",
			"app/base/kustomization.yaml": "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\n" + remote},
		"resources given twice": {"app/kustomization.yaml": "resources: [d.yaml]\nresources: [base]\n", "app/base/kustomization.yaml": remote},
		"resources merged":      {"app/kustomization.yaml": "<<: {resources: [base]}\n", "app/base/kustomization.yaml": remote},
		"a base in a folder of generators, named elsewhere": {"app/kustomization.yaml": "transformers: [made]\nresources: [other]\n",
			"app/made/kustomization.yaml": "Resources: [../other]\n", "app/other/kustomization.yaml": "resources: [gen.yaml]\n", "app/other/gen.yaml": gen},
	} {
		t.Run(title, func(t *testing.T) {
			files["app/d.yaml"] = deployment("web", "ghcr.io/acme/web:v1")
			r := check(t, gate.Options{Head: tree(files)})
			if got := stranger.asked(); len(got) > 0 {
				t.Fatalf("a stranger was asked for %q", got)
			}
			if r.Count(report.LevelUnknown)+r.Count(report.LevelError) == 0 {
				t.Errorf("nothing is said of it: %q", told(r))
			}
		})
	}
}

func TestGateTakesNoFolderForAnAddress(t *testing.T) {
	files := map[string]string{
		"ks.yaml": flux("./apps", "prune: true"), "apps/git@127.0.0.1:acme/kustomization.yaml": "resources: [d.yaml]\n",
		"apps/git@127.0.0.1:acme/d.yaml": deployment("web", "ghcr.io/acme/web:v1"),
	}
	r := check(t, gate.Options{Head: tree(files)})
	wantFindings(t, r)
	if want := []string{"ghcr.io/acme/web:v1 apps/git@127.0.0.1:acme/d.yaml:12"}; cmp.Diff(want, images(r)) != "" {
		t.Errorf("images are %q", images(r))
	}
}

func TestGateFetchesWhatIsAllowedAndNothingElse(t *testing.T) {
	stranger := listen(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(deployment("x", "acme/x:v1"))) })
	var redirect string
	friend := listen(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/acme/app.yaml":
			_, _ = w.Write([]byte(deployment("web", "acme/web:v1")))
		case "/acme/away.yaml":
			http.Redirect(w, r, redirect, http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	})
	redirect = stranger.URL + "/x.yaml"
	for title, c := range map[string]struct{ ref, allow, word string }{
		"a file":             {friend.URL + "/acme/app.yaml", friend.prefix() + "acme/", ""},
		"a redirect":         {friend.URL + "/acme/away.yaml", friend.prefix(), "nobody allowed"},
		"another folder":     {friend.URL + "/acme/../acme-too/app.yaml", friend.prefix() + "acme/", "is remote"},
		"another host":       {stranger.URL + "/x.yaml", friend.prefix(), "is remote"},
		"a longer name":      {friend.URL + "/acme/app.yaml", friend.prefix() + "ac", "is remote"},
		"a user before it":   {"http://" + friend.prefix() + "@" + stranger.prefix() + "x.yaml", friend.prefix() + "acme/", "is remote"},
		"a host as its user": {"http://" + strings.TrimSuffix(friend.prefix(), "/") + "@" + stranger.prefix() + "x.yaml", friend.prefix(), "is remote"},
		"what is not there":  {friend.URL + "/acme/none.yaml", friend.prefix(), "could not be fetched"},
	} {
		t.Run(title, func(t *testing.T) {
			r := check(t, gate.Options{AllowRemote: []string{c.allow}, Head: tree(map[string]string{
				"kustomization.yaml": "resources:\n- " + c.ref + "\n",
			})})
			if got := stranger.asked(); len(got) > 0 {
				t.Fatalf("a stranger was asked for %q", got)
			}
			if c.word == "" {
				wantFindings(t, r)
				if len(r.Images) != 1 || r.Images[0].Image != "acme/web:v1" {
					t.Errorf("images are %q", images(r))
				}
				return
			}
			wantFindings(t, r, "unknown remote-base kustomization.yaml:2")
			wantWords(t, r, c.word)
		})
	}
}

// trust has Go's own client take a server's certificate.
func trust(t *testing.T, s *httptest.Server) {
	t.Helper()
	kept := http.DefaultTransport
	http.DefaultTransport = s.Client().Transport
	t.Cleanup(func() { http.DefaultTransport = kept })
}

// A host that is allowed is asked as the reference says: what came by TLS goes on so.
func TestGateIsNotLedFromTLSToPlainHTTP(t *testing.T) {
	plain := listen(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(deployment("web", "acme/web:v1"))) })
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, plain.URL+"/acme/app.yaml", http.StatusFound)
	}))
	t.Cleanup(secure.Close)
	trust(t, secure)
	r := check(t, gate.Options{
		AllowRemote: []string{strings.TrimPrefix(secure.URL, "https://") + "/", plain.prefix()},
		Head:        tree(map[string]string{"kustomization.yaml": "resources:\n- " + secure.URL + "/acme/app.yaml\n"}),
	})
	if got := plain.asked(); len(got) > 0 {
		t.Errorf("what came by TLS was asked for in plain HTTP: %q", got)
	}
	wantFindings(t, r, "unknown remote-base kustomization.yaml:2")
	wantWords(t, r, "plain HTTP")
}

// flux is a Kustomization of this repository with more in its spec.
func flux(path, more string) string {
	if path != "" {
		more = "path: " + path + "\n  " + more
	}
	return "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps, namespace: flux-system}\n" +
		"spec:\n  sourceRef: {kind: GitRepository, name: flux-system}\n  " + more + "\n"
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// repository makes a bare repository of files on a server.
func repository(t *testing.T, s *gitserver.Server, name string, files map[string]string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "work")
	write(t, dir, files)
	for _, args := range [][]string{
		{"init", "--quiet", "-b", "main"}, {"add", "-A"}, {"-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "x"},
		{"tag", "v1"}, {"clone", "--quiet", "--bare", ".", filepath.Join(s.Root, name)},
	} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
}

func TestGateARemoteBaseLeadsToNobodyElse(t *testing.T) {
	s, err := gitserver.Start(gitserver.Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	stranger := listen(t, http.NotFound)
	repository(t, s, "base.git", map[string]string{
		"app/kustomization.yaml":  "resources: [app.yaml, ../more]\nimages: [{name: acme/app, newTag: v2}]\n",
		"app/app.yaml":            deployment("app", "acme/app:v1"),
		"more/kustomization.yaml": "resources: ['" + s.URL + "/second.git?ref=v1']\n",
		"away/kustomization.yaml": "resources: ['" + stranger.URL + "/x.yaml']\n",
		"gen/kustomization.yaml":  "generators: [gen.yaml]\n",
		"gen/gen.yaml":            "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: x}\nfiles: ['a=" + stranger.URL + "/x']\n",
	})
	repository(t, s, "second.git", map[string]string{
		"kustomization.yaml": "resources: [job.yaml]\n",
		"job.yaml":           strings.Replace(deployment("job", "acme/job:v1"), "Deployment", "StatefulSet", 1),
	})
	allow := []string{strings.TrimPrefix(s.URL, "http://") + "/"}
	for dir, want := range map[string][]string{"app": {"acme/app:v2", "acme/job:v1"}, "away": nil, "gen": nil} {
		r := check(t, gate.Options{AllowRemote: allow, Head: tree(map[string]string{
			"kustomization.yaml": fmt.Sprintf("resources:\n- %s/base.git//%s?ref=v1\n", s.URL, dir),
		})})
		var got []string
		for _, use := range r.Images {
			got = append(got, use.Image)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: images (-want +got):\n%s%q", dir, diff, told(r))
		}
		if want == nil {
			wantFindings(t, r, "unknown remote-base kustomization.yaml:1")
		} else {
			wantFindings(t, r)
		}
	}
	if got := stranger.asked(); len(got) > 0 {
		t.Errorf("a stranger was asked for %q", got)
	}
}

// A hook of git runs with the user's repository in its environment.
func TestGateFetchesIntoNoRepositoryOfTheUser(t *testing.T) {
	s, err := gitserver.Start(gitserver.Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	repository(t, s, "base.git", map[string]string{"kustomization.yaml": "resources: [app.yaml]\n", "app.yaml": deployment("app", "acme/app:v1")})
	repository(t, s, "mine.git", map[string]string{"mine.txt": "mine"})
	mine := filepath.Join(t.TempDir(), "mine")
	run := func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	run(t.TempDir(), "clone", "--quiet", filepath.Join(s.Root, "mine.git"), mine)
	state := func() string {
		return run(mine, "symbolic-ref", "HEAD") + run(mine, "rev-parse", "HEAD") + run(mine, "ls-files", "--stage") + run(mine, "status", "--porcelain")
	}
	before := state()
	func() {
		for name, value := range map[string]string{"GIT_DIR": filepath.Join(mine, ".git"), "GIT_INDEX_FILE": filepath.Join(mine, ".git", "index")} {
			if err := os.Setenv(name, value); err != nil { //nolint:usetesting // it ends before the test does
				t.Fatal(err)
			}
			defer func() { _ = os.Unsetenv(name) }()
		}
		r := check(t, gate.Options{AllowRemote: []string{strings.TrimPrefix(s.URL, "http://") + "/"}, Head: tree(map[string]string{
			"kustomization.yaml": "resources:\n- " + s.URL + "/base.git?ref=v1\n",
		})})
		if len(r.Images) != 1 || r.Images[0].Image != "acme/app:v1" {
			t.Errorf("it found %+v, and told %q", r.Images, told(r))
		}
	}()
	if diff := cmp.Diff(before, state()); diff != "" {
		t.Errorf("the user's repository (-before +now):\n%s", diff)
	}
}
