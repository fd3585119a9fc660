package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// The benchmarks compare with git in the same run, on a repository of 50,000 commits:
//
//	go test -run '^$' -bench . -benchtime 20x ./reconcile/gitrepo

// bigServer serves the big repository, or a copy of it that may be written.
func bigServer(b *testing.B, writable bool) (reconcile.Source, string) {
	b.Helper()
	dir := bigRepository(b)
	if writable {
		root := b.TempDir()
		command(b, root, "cp", "-r", dir, "fleet.git")
		dir = filepath.Join(root, "fleet.git")
	}
	s, err := gitserver.Start(gitserver.Options{Root: filepath.Dir(dir), Username: "bot", Password: password})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return bigSource(s.URL + "/fleet.git"), dir
}

func bigSource(url string) reconcile.Source {
	return reconcile.Source{
		Name: types.NamespacedName{Namespace: "flux-system", Name: "fleet"}, URL: url, Branch: "main",
		Auth: reconcile.Auth{Secret: map[string][]byte{"username": []byte("bot"), "password": []byte(password)}},
	}
}

// bigQuery asks for what commit n wrote.
func bigQuery(n int) reconcile.Query {
	app, env := bigFolder(bigTurn(n))
	return reconcile.Query{
		Image: "ghcr.io/acme/" + app + ":" + bigTag(n), Namespace: env,
		Workload: v1alpha1.Workload{Kind: "Deployment", Name: app},
		Root:     reconcile.Root{By: applier, Path: bigPath(bigTurn(n))},
	}
}

func bigMirrors(b *testing.B) *Mirrors {
	b.Helper()
	m, err := New(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// command runs a command in a folder, and gives what it prints and how long it took.
func command(b *testing.B, dir string, args ...string) (string, time.Duration) {
	b.Helper()
	start := time.Now()
	cmd := exec.CommandContext(b.Context(), args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(gitserver.Env(), "GIT_AUTHOR_NAME=x", "GIT_AUTHOR_EMAIL=x", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=x")
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), time.Since(start)
}

// logS is git's search for the commit that brought commit n's tag.
func logS(n int) []string {
	return []string{"git", "log", "--format=%H", "-S", bigTag(n), "HEAD", "--", bigPath(bigTurn(n)) + "/deployment.yaml"}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// beside runs ours and git's by turns, so that both meet the same load, and reports the mean of git's.
func beside(b *testing.B, ours func(), git func() time.Duration) {
	b.Helper()
	var theirs time.Duration
	n := 0
	for b.Loop() {
		ours()
		b.StopTimer()
		theirs += git()
		n++
		b.StartTimer()
	}
	b.ReportMetric(millis(theirs)/float64(n), "git-ms/op")
	b.ReportMetric(millis(b.Elapsed())/millis(theirs), "x-git")
}

func BenchmarkBlame(b *testing.B) {
	for _, back := range []int{10, 40, 3000} {
		b.Run(fmt.Sprintf("%d back", back), func(b *testing.B) {
			src, dir := bigServer(b, false)
			m := bigMirrors(b)
			n := bigStanding(b, back)
			blame := func() {
				s, err := m.Blame(b.Context(), src, bigQuery(n))
				if err != nil {
					b.Fatal(err)
				}
				if want := "Update " + bigPath(bigTurn(n)) + " to " + bigTag(n); s.Subject != want {
					b.Fatalf("blamed %q, want %q", s.Subject, want)
				}
			}
			blame()
			beside(b, blame, func() time.Duration {
				_, took := command(b, dir, logS(n)...)
				return took
			})
		})
	}
}

// coldURL makes the test binary the process that BenchmarkCold measures.
const coldURL = "BACKSTOP_COLD_URL"

func TestMain(m *testing.M) {
	if url := os.Getenv(coldURL); url != "" {
		if err := cold(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return
	}
	m.Run()
}

// cold goes from nothing to the first blame, and prints how long that took and the peak memory in MiB.
func cold(url string) error {
	dir, err := os.MkdirTemp("", "backstop-cold-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	n, err := bigStandingAt(40)
	if err != nil {
		return err
	}
	start := time.Now()
	m, err := New(dir, Options{})
	if err != nil {
		return err
	}
	if _, err := m.Blame(context.Background(), bigSource(url), bigQuery(n)); err != nil {
		return err
	}
	took := time.Since(start)
	peak, err := peakMiB()
	fmt.Fprintf(os.Stdout, "cold %f %f\n", millis(took), peak)
	return err
}

// peakMiB is the most memory that this process had, by its own account: getrusage would count what the process had that
// started it.
func peakMiB() (float64, error) {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		var kib float64
		if _, err := fmt.Sscanf(line, "VmHWM: %f kB", &kib); err == nil {
			return kib / 1024, nil
		}
	}
	return 0, errors.New("no VmHWM in /proc/self/status")
}

func BenchmarkCold(b *testing.B) {
	src, _ := bigServer(b, false)
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	n := bigStanding(b, 40)
	url := strings.Replace(src.URL, "http://", "http://bot:"+password+"@", 1)
	var ours, theirs, peak float64
	rounds := 0
	for b.Loop() {
		cmd := exec.CommandContext(b.Context(), self, "-test.run=^$")
		cmd.Env = append(os.Environ(), coldURL+"="+src.URL, "GOMEMLIMIT=50MiB")
		out, err := cmd.CombinedOutput()
		var took, rss float64
		if _, serr := fmt.Sscanf(string(out), "cold %f %f", &took, &rss); err != nil || serr != nil {
			b.Fatalf("%v %v: %s", err, serr, out)
		}
		ours, peak = ours+took, max(peak, rss)
		dir := b.TempDir()
		_, clone := command(b, dir, "git", "clone", "--quiet", "--bare", "--depth", "50", "--branch", "main", url, "clone")
		_, log := command(b, filepath.Join(dir, "clone"), logS(n)...)
		theirs += millis(clone + log)
		rounds++
	}
	b.ReportMetric(ours/float64(rounds), "ms/op")
	b.ReportMetric(theirs/float64(rounds), "git-ms/op")
	b.ReportMetric(ours/theirs, "x-git")
	b.ReportMetric(peak, "MiB-peak")
}

func BenchmarkRevert(b *testing.B) {
	src, bare := bigServer(b, true)
	m := bigMirrors(b)
	work := b.TempDir()
	url := strings.Replace(src.URL, "http://", "http://bot:"+password+"@", 1)
	command(b, work, "git", "clone", "--quiet", "--branch", "main", url, "clone")
	clone := filepath.Join(work, "clone")
	back := 0
	// next blames another commit on each turn, and describes how to undo it.
	next := func() reconcile.Revert {
		n := bigStanding(b, back)
		back = bigCommits - n
		s, err := m.Blame(b.Context(), src, bigQuery(n))
		if err != nil {
			b.Fatal(err)
		}
		f, err := m.Former(b.Context(), src, s, 1)
		if err != nil || len(f) == 0 {
			b.Fatal(err, f)
		}
		return reconcile.Revert{
			Rollback: "prod/x/y", Image: s.Image, Suspect: s, Hold: true,
			Target: v1alpha1.Target{Image: f[0].Image, Values: f[0].Values},
		}
	}
	var theirs time.Duration
	rounds := 0
	for b.Loop() {
		b.StopTimer()
		r := next()
		b.StartTimer()
		out, err := m.Land(b.Context(), src, []reconcile.Revert{r})
		if err != nil || out[0].Err != nil {
			b.Fatal(err, out)
		}
		b.StopTimer()
		// The same three by git: a revert, the hold, and a push, on a clone that is up to date.
		r = next()
		command(b, clone, "git", "pull", "--quiet", "--ff-only")
		_, revert := command(b, clone, "git", "revert", "--no-edit", r.Suspect.Commit)
		file := filepath.Join(clone, r.Suspect.Places[0].File)
		raw, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.Replace(string(raw), "# {", "# backstop:hold not=x {", 1)), 0o600); err != nil {
			b.Fatal(err)
		}
		_, hold := command(b, clone, "git", "commit", "--quiet", "-a", "-m", "hold")
		_, push := command(b, clone, "git", "push", "--quiet", "origin", "main")
		theirs += revert + hold + push
		rounds++
		b.StartTimer()
	}
	b.ReportMetric(millis(theirs)/float64(rounds), "git-ms/op")
	b.ReportMetric(millis(b.Elapsed())/millis(theirs), "x-git")
	command(b, bare, "git", "fsck", "--connectivity-only", "main")
}
