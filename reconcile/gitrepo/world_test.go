package gitrepo

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// world is a Git server with one repository, a person's clone of it, and Backstop's mirrors.
type world struct {
	*testing.T
	server  *gitserver.Server
	bare    string
	work    string
	dir     string
	src     reconcile.Source
	mirrors *Mirrors
	log     *bytes.Buffer
	now     time.Time
}

const password = "s3cret-passw0rd"

func newWorld(t *testing.T) *world {
	t.Helper()
	server, err := gitserver.Start(gitserver.Options{Root: t.TempDir(), Username: "bot", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	bare, err := server.Create("org/fleet.git")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		T: t, server: server, bare: bare, work: filepath.Join(t.TempDir(), "work"), dir: t.TempDir(), log: &bytes.Buffer{},
		now: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC),
	}
	w.src = reconcile.Source{
		Name: types.NamespacedName{Namespace: "flux-system", Name: "fleet"}, URL: server.URL + "/org/fleet.git", Branch: "main",
		Timeout: 20 * time.Second, AuthorName: "fluxcdbot", AuthorEmail: "fluxcdbot@example.com",
		Auth: reconcile.Auth{Secret: map[string][]byte{"username": []byte("bot"), "password": []byte(password)}},
	}
	w.run(t.TempDir(), "clone", "--quiet", bare, w.work)
	w.git("checkout", "--quiet", "-b", "main")
	w.mirrors = w.open()
	return w
}

// open makes Mirrors on the world's folder, as a restarted process does.
func (w *world) open() *Mirrors {
	w.Helper()
	m, err := New(w.dir, Options{
		Now: func() time.Time { return w.now }, Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		w.Fatal(err)
	}
	return m
}

// run runs git in a folder and gives what it prints.
func (w *world) run(dir string, args ...string) string {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), "git", args...)
	cmd.Dir = dir
	date := fmt.Sprintf("%d +0000", w.now.Unix())
	cmd.Env = append(gitserver.Env(), "GIT_AUTHOR_NAME=Jane", "GIT_AUTHOR_EMAIL=jane@example.com", "GIT_COMMITTER_NAME=Jane",
		"GIT_COMMITTER_EMAIL=jane@example.com", "GIT_AUTHOR_DATE="+date, "GIT_COMMITTER_DATE="+date)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimRight(string(out), "\n")
}

// git runs git in the person's clone.
func (w *world) git(args ...string) string { w.Helper(); return w.run(w.work, args...) }

// write puts a file into the person's clone; empty content removes it.
func (w *world) write(path, content string) {
	w.Helper()
	full := filepath.Join(w.work, path)
	if content == "" {
		if err := os.Remove(full); err != nil {
			w.Fatal(err)
		}
		return
	}
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		w.Fatal(err)
	}
}

// commit commits everything in the person's clone a minute later and pushes it.
func (w *world) commit(message string) string {
	w.Helper()
	hash := w.commitOnly(message)
	w.git("push", "--quiet", "origin", "HEAD:main")
	return hash
}

func (w *world) commitOnly(message string) string {
	w.Helper()
	w.now = w.now.Add(time.Minute)
	w.git("add", "--all")
	w.git("commit", "--quiet", "--allow-empty", "-m", message)
	return w.git("rev-parse", "HEAD")
}

// put writes files, given as path, content, path, content, and commits them.
func (w *world) put(message string, files ...string) string {
	w.Helper()
	for i := 0; i+1 < len(files); i += 2 {
		w.write(files[i], files[i+1])
	}
	return w.commit(message)
}

// pull brings the person's clone up to date.
func (w *world) pull() {
	w.Helper()
	w.git("fetch", "--quiet")
	w.git("reset", "--quiet", "--hard", "origin/main")
}

// show is a file on the server.
func (w *world) show(rev, path string) string {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), "git", "show", rev+":"+path)
	cmd.Dir = w.bare
	cmd.Env = gitserver.Env()
	out, err := cmd.Output()
	if err != nil {
		w.Fatalf("git show %s:%s: %v", rev, path, err)
	}
	return string(out)
}

const (
	repo = "ghcr.io/acme/backend"
	tag0 = "develop-v1.0.0-1700000000"
	tag1 = "develop-v1.1.0-1700000100"
	tag2 = "develop-v1.2.0-1700000200"
)

// deployment is a manifest with a marker behind its image.
func deployment(namespace, name, image, policy string) string {
	marker := ""
	if policy != "" {
		marker = fmt.Sprintf(" # {\"$imagepolicy\": %q}", policy)
	}
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: %s
  namespace: %s
spec:
  replicas: 2
  template:
    spec:
      containers:
        - name: app
          image: %s%s
          ports: [{containerPort: 8080}]
`, name, namespace, image, marker)
}

// kustomization lists resources.
func kustomization(resources ...string) string {
	return "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n  - " + strings.Join(resources, "\n  - ") + "\n"
}

var (
	automation = &v1alpha1.ObjectRef{Kind: "ImageUpdateAutomation", Namespace: "flux-system", Name: "fleet"}
	applier    = v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}
)

// query asks for an image below apps/develop.
func query(image string) reconcile.Query {
	return reconcile.Query{
		Image: image, Namespace: "develop", Root: reconcile.Root{By: applier, Path: "apps/develop"},
		Policies: []reconcile.ImagePolicy{{
			Name: "develop:backend", Latest: repo + ":" + tag1, Previous: repo + ":" + tag0, Automation: automation,
		}},
	}
}

// blame blames and must succeed.
func (w *world) blame(q reconcile.Query) v1alpha1.Suspect {
	w.Helper()
	s, err := w.mirrors.Blame(w.Context(), w.src, q)
	if err != nil {
		w.Fatalf("blame %s: %v", q.Image, err)
	}
	return s
}

// target is the newest former value.
func (w *world) target(s v1alpha1.Suspect) v1alpha1.Target {
	w.Helper()
	f, err := w.mirrors.Former(w.Context(), w.src, s, 8)
	if err != nil {
		w.Fatalf("former: %v", err)
	}
	if len(f) == 0 {
		w.Fatal("there is no former value")
	}
	return v1alpha1.Target{Image: f[0].Image, Values: f[0].Values}
}

// wish is a revert of a suspect to its newest former value, with a hold.
func (w *world) wish(s v1alpha1.Suspect) reconcile.Revert {
	w.Helper()
	return reconcile.Revert{
		Rollback: "prod/develop/" + s.Places[0].Bad, Image: s.Image, Workloads: []string{"prod/develop/Deployment/backend"},
		Suspect: s, Target: w.target(s), Hold: true, Lift: v1alpha1.LiftNewerImage,
	}
}

// land lands reverts, all of which must succeed.
func (w *world) land(reverts ...reconcile.Revert) []reconcile.Landing {
	w.Helper()
	w.now = w.now.Add(time.Minute)
	return w.landNow(reverts...)
}

// landNow is land while others read the clock.
func (w *world) landNow(reverts ...reconcile.Revert) []reconcile.Landing {
	w.Helper()
	out, err := w.mirrors.Land(w.Context(), w.src, reverts)
	if err != nil {
		w.Fatalf("land: %v", err)
	}
	for _, l := range out {
		if l.Err != nil {
			w.Fatalf("land: %v", l.Err)
		}
	}
	return out
}

// standard is a repository whose last write-back brought tag1.
func standard(t *testing.T) (w *world, bad string) {
	w = newWorld(t)
	w.put("add backend", "apps/develop/kustomization.yaml", kustomization("backend.yaml"),
		"apps/develop/backend.yaml", deployment("develop", "backend", repo+":"+tag0, "develop:backend"))
	bad = w.put("Update from image update automation",
		"apps/develop/backend.yaml", deployment("develop", "backend", repo+":"+tag1, "develop:backend"))
	return w, bad
}

// mktree makes a raw tree on the server, whose entries need not exist.
func (w *world) mktree(entries ...string) string {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), "git", "mktree", "--missing")
	cmd.Dir, cmd.Env, cmd.Stdin = w.bare, gitserver.Env(), strings.NewReader(strings.Join(slices.Sorted(slices.Values(entries)), "\n")+"\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.Fatalf("git mktree: %v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// try runs git on the server's repository and reports whether it worked.
func (w *world) try(args ...string) error {
	cmd := exec.CommandContext(w.Context(), "git", args...)
	cmd.Dir, cmd.Env = w.bare, gitserver.Env()
	return cmd.Run()
}

// filler puts many commits of a file that nobody cares about on the branch.
func (w *world) filler(n int) {
	w.Helper()
	var in strings.Builder
	for i := range n {
		w.now = w.now.Add(time.Minute)
		content := fmt.Sprintf("filler %d at %s\n", i, w.now)
		from := ""
		if i == 0 {
			from = "from refs/heads/main^0\n"
		}
		fmt.Fprintf(&in, "commit refs/heads/main\ncommitter Jane <jane@example.com> %d +0000\ndata 6\nfiller\n%sM 100644 inline filler\ndata %d\n%s\n",
			w.now.Unix(), from, len(content), content)
	}
	cmd := exec.CommandContext(w.Context(), "git", "fast-import", "--quiet")
	cmd.Dir, cmd.Env, cmd.Stdin = w.bare, gitserver.Env(), strings.NewReader(in.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("git fast-import: %v: %s", err, out)
	}
	w.pull()
}
