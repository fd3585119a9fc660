package gitrepo

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/gitserver"
)

const proposed = "backstop/revert-0123456789ab"

func (w *world) propose(reverts ...reconcile.Revert) reconcile.Proposed {
	w.Helper()
	out, err := w.mirrors.Propose(w.Context(), w.src, reconcile.Onto{Branch: proposed}, reverts)
	if err != nil {
		w.Fatalf("propose: %v", err)
	}
	return out
}

func TestProposedOnABranchOfItsOwn(t *testing.T) {
	t.Parallel()
	w, bad := standard(t)
	if err := gitserver.Hook(w.bare, "update", `[ "$1" != refs/heads/main ]`); err != nil {
		t.Fatal(err)
	}
	rev := w.wish(w.blame(query(repo + ":" + tag1)))
	out := w.propose(rev)
	if out.Landings[0].Err != nil || out.Base != bad || w.run(w.bare, "rev-parse", proposed) != out.Head {
		t.Fatalf("proposed %+v", out)
	}
	if w.run(w.bare, "rev-parse", "main") != bad {
		t.Error("the deployed branch moved")
	}
	if got := w.run(w.bare, "rev-list", "--count", bad+".."+proposed); got != "2" {
		t.Errorf("%s commits were pushed, want the revert and the hold", got)
	}
	if got := w.show(proposed, "apps/develop/backend.yaml"); !strings.Contains(got, repo+":"+tag0+" # backstop:hold not="+tag1) {
		t.Errorf("the branch says\n%s", got)
	}
	if got := w.run(w.bare, "log", "--format=%B", bad+".."+proposed); strings.Contains(got, "Backstop-Rollback") ||
		strings.Contains(got, "Backstop-Workload") {
		t.Errorf("the commits name who made them:\n%s", got)
	}
	if !out.Own {
		t.Error("what it has just put there is not its own")
	}
	if again := w.propose(rev); !again.Own || again.Head != out.Head || w.run(w.bare, "rev-parse", proposed) != out.Head {
		t.Errorf("again it is %s, and was %s", again.Head, out.Head)
	}
	w.run(w.bare, "fsck", "--strict")
}

func TestTwoClustersProposeTheSame(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	rev := w.wish(w.blame(query(repo + ":" + tag1)))
	const clusters = 4
	var heads [clusters]string
	var wg sync.WaitGroup
	for i := range clusters {
		other := w.T.TempDir()
		mirrors, err := New(other, Options{})
		if err != nil {
			t.Fatal(err)
		}
		mine := rev
		mine.Rollback, mine.Cluster = "cluster/develop/backend", string(rune('a'+i))
		wg.Go(func() {
			out, err := mirrors.Propose(t.Context(), w.src, reconcile.Onto{Branch: proposed}, []reconcile.Revert{mine})
			if err != nil {
				t.Errorf("cluster %d: %v", i, err)
			}
			heads[i] = out.Head
		})
	}
	wg.Wait()
	for i, head := range heads {
		if head != heads[0] {
			t.Errorf("cluster %d has %s, and the first %s", i, head, heads[0])
		}
	}
	if got := w.run(w.bare, "rev-list", "--count", "main.."+proposed); got != "2" {
		t.Errorf("%s commits stand on the branch", got)
	}
}

func TestSiblingsShareOneBranch(t *testing.T) {
	t.Parallel()
	const other = "ghcr.io/acme/frontend"
	w := newWorld(t)
	files := func(tag string) []string {
		return []string{"apps/develop/kustomization.yaml", kustomization("backend.yaml", "frontend.yaml"),
			"apps/develop/backend.yaml", deployment("develop", "backend", repo+":"+tag, "develop:backend"),
			"apps/develop/frontend.yaml", deployment("develop", "frontend", other+":"+tag, "develop:frontend")}
	}
	w.put("add", files(tag0)...)
	w.put("Update", files(tag1)...)
	back := w.wish(w.blame(query(repo + ":" + tag1)))
	front := w.wish(w.blame(query(other + ":" + tag1)))
	first := w.propose(back)
	// Its author's clock and mirror are others'.
	w.src.Name = types.NamespacedName{Namespace: "flux-system", Name: "elsewhere"}
	second := w.propose(front)
	if w.run(w.bare, "merge-base", first.Head, second.Head) != first.Head {
		t.Error("what stood on the branch is gone")
	}
	for file, want := range map[string]string{"apps/develop/backend.yaml": repo, "apps/develop/frontend.yaml": other} {
		if got := w.show(proposed, file); !strings.Contains(got, want+":"+tag0+" # backstop:hold") {
			t.Errorf("%s says\n%s", file, got)
		}
	}
	// Alone, each of them finds what is another one's; together, all of it is theirs.
	if again := w.propose(front); again.Own || again.Head != second.Head {
		t.Errorf("again it is %+v, and was %s", again, second.Head)
	}
	if again := w.propose(back, front); !again.Own || again.Head != second.Head {
		t.Errorf("again it is %+v, and was %s", again, second.Head)
	}
}

// slipIn pushes a person's commit to the branch of the pull request, with a message.
func (w *world) slipIn(message string) string {
	w.git("fetch", "--quiet")
	w.git("checkout", "--quiet", "--detach", "origin/"+proposed)
	w.write("apps/develop/evil.yaml", "a: b\n")
	w.git("add", "--all")
	w.git("commit", "--quiet", "-m", message)
	w.git("push", "--quiet", "origin", "HEAD:"+proposed)
	return w.git("rev-parse", "HEAD")
}

func TestForeignCommitOnTheBranchOfAPullRequest(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	rev := w.wish(w.blame(query(repo + ":" + tag1)))
	w.propose(rev)
	foreign := w.slipIn("Slip something in")
	_, err := w.mirrors.Propose(t.Context(), w.src, reconcile.Onto{Branch: proposed}, []reconcile.Revert{rev})
	if reconcile.KindOf(err) != reconcile.FaultForeign || !strings.Contains(err.Error(), text.Short(foreign)) {
		t.Errorf("it says %v", err)
	}
	if w.run(w.bare, "rev-parse", proposed) != foreign {
		t.Error("the branch was pushed over")
	}
}

func TestARuleThatRefusesTheBranchOfAPullRequest(t *testing.T) {
	t.Parallel()
	for name, words := range map[string]string{
		"GitLab, by its name":     "GitLab: Branch name does not follow the pattern '^(feature|fix)/'",
		"GitLab, by the message":  "GitLab: Commit message does not follow the pattern '^(feat|fix): '",
		"GitLab, by the author":   "GitLab: Author's email 'flux@example.com' does not follow the pattern '@acme.example$'",
		"GitHub, who makes refs":  "- Cannot create ref due to creations being restricted.",
		"GitHub, a rule for text": "- Commit message must start with a matching pattern: (feat|fix):",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := standard(t)
			rev := w.wish(w.blame(query(repo + ":" + tag1)))
			if err := gitserver.Hook(w.bare, "pre-receive", "cat >&2 <<'WORDS'\n"+words+"\nWORDS\nexit 1"); err != nil {
				t.Fatal(err)
			}
			_, err := w.mirrors.Propose(t.Context(), w.src, reconcile.Onto{Branch: proposed}, []reconcile.Revert{rev})
			if reconcile.KindOf(err) != reconcile.FaultDeclined || !strings.Contains(err.Error(), words) {
				t.Errorf("it says %v", err)
			}
		})
	}
}

func TestBuiltAgainOnABaseThatMoved(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	rev := w.wish(w.blame(query(repo + ":" + tag1)))
	first := w.propose(rev)
	moved := w.put("Go on", "apps/develop/other.yaml", "a: b\n")
	if again := w.propose(rev); again.Head != first.Head || !again.Own {
		t.Fatalf("without need it is built again: %+v", again)
	}
	out, err := w.mirrors.Propose(t.Context(), w.src, reconcile.Onto{Branch: proposed, Rebuild: true}, []reconcile.Revert{rev})
	if err != nil || !out.Own || out.Head == first.Head || out.Base != moved {
		t.Fatalf("it is %+v, %v", out, err)
	}
	if w.run(w.bare, "rev-parse", proposed) != out.Head || w.run(w.bare, "merge-base", "main", proposed) != moved {
		t.Error("it does not begin at the new tip")
	}
	if got := w.show(proposed, "apps/develop/backend.yaml"); !strings.Contains(got, repo+":"+tag0+" # backstop:hold") {
		t.Errorf("the branch says\n%s", got)
	}
}

// A server may take no force push, also on a branch of Backstop's.
func TestABranchThatTakesNoForcePush(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ hook, says string }{
		"git": {"", "takes no force push"},
		"GitHub": {"echo 'error: GH013: Repository rule violations found for refs/heads/" + proposed + ".' >&2\n" +
			"echo '- Cannot force-push to this branch' >&2; exit 1", "Cannot force-push to this branch"},
		"GitLab": {"echo 'GitLab: You are not allowed to force push code to a protected branch on this project.' >&2; exit 1",
			"not allowed to force push"},
		"Gitea": {"echo 'Gitea: branch " + proposed + " is protected from force push' >&2; exit 1", "protected from force push"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := standard(t)
			rev := w.wish(w.blame(query(repo + ":" + tag1)))
			first := w.propose(rev)
			w.put("Go on", "apps/develop/other.yaml", "a: b\n")
			if tt.hook == "" {
				w.run(w.bare, "config", "receive.denyNonFastForwards", "true")
			} else if err := gitserver.Hook(w.bare, "pre-receive", tt.hook); err != nil {
				t.Fatal(err)
			}
			_, err := w.mirrors.Propose(t.Context(), w.src, reconcile.Onto{Branch: proposed, Rebuild: true}, []reconcile.Revert{rev})
			if reconcile.KindOf(err) != reconcile.FaultDeclined || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("it is of the kind %q: %v", reconcile.KindOf(err), err)
			}
			if w.run(w.bare, "rev-parse", proposed) != first.Head {
				t.Error("the branch moved")
			}
		})
	}
}

func TestNeverBuiltAgainOverAnothers(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	rev := w.wish(w.blame(query(repo + ":" + tag1)))
	w.propose(rev)
	// It says that it is Backstop's, and holds more than the revert.
	forged := w.slipIn(w.run(w.bare, "log", "-1", "--format=%B", proposed))
	w.git("checkout", "--quiet", "main")
	w.put("Go on", "apps/develop/other.yaml", "a: b\n")
	out, err := w.mirrors.Propose(t.Context(), w.src, reconcile.Onto{Branch: proposed, Rebuild: true}, []reconcile.Revert{rev})
	if err != nil || out.Own || out.Head != forged || w.run(w.bare, "rev-parse", proposed) != forged {
		t.Errorf("it is %+v, %v", out, err)
	}
}

func TestProposedAgainAfterItWasMerged(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	rev := w.wish(w.blame(query(repo + ":" + tag1)))
	w.propose(rev)
	w.git("fetch", "--quiet")
	w.git("merge", "--quiet", "--no-ff", "-m", "Merge", "origin/"+proposed)
	w.git("push", "--quiet", "origin", "main")
	again := w.put("Bring it back", "apps/develop/backend.yaml", deployment("develop", "backend", repo+":"+tag1, "develop:backend"))
	rev.Suspect.Commit = again
	out := w.propose(rev)
	if !out.Own || w.run(w.bare, "merge-base", "main", proposed) != again {
		t.Errorf("it is %+v", out)
	}
}

func TestNothingIsProposedThatTheDeployedBranchNoLongerSays(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	rev := w.wish(w.blame(query(repo + ":" + tag1)))
	w.put("Fix it by hand", "apps/develop/backend.yaml", deployment("develop", "backend", repo+":"+tag2, "develop:backend"))
	out := w.propose(rev)
	if !errors.Is(out.Landings[0].Err, reconcile.ErrSuperseded) || out.Head != "" {
		t.Errorf("proposed %+v", out)
	}
	if w.try("rev-parse", "--verify", proposed) == nil {
		t.Error("a branch was pushed")
	}
}

func TestProposedOnTheTipThatPermitSaw(t *testing.T) {
	t.Parallel()
	w, bad := standard(t)
	rev := w.wish(w.blame(query(repo + ":" + tag1)))
	forbidden := errors.New("forbidden")
	asked := ""
	rev.Permit = func(b reconcile.Branch) error { asked = b.Tip; return forbidden }
	if out := w.propose(rev); !errors.Is(out.Landings[0].Err, forbidden) || asked != bad {
		t.Errorf("proposed %+v, and asked of %s", out, asked)
	}
	rev.Permit, rev.Still = nil, func() error { return forbidden }
	if _, err := w.mirrors.Propose(t.Context(), w.src, reconcile.Onto{Branch: proposed}, []reconcile.Revert{rev}); !errors.Is(err, forbidden) {
		t.Errorf("it says %v", err)
	}
	if w.try("rev-parse", "--verify", proposed) == nil {
		t.Error("a branch was pushed")
	}
}

func TestAPIHasTheCredentialsOfGit(t *testing.T) {
	for name, tt := range map[string]struct {
		url              string
		auth             map[string][]byte
		user, token, err string
	}{
		"a password is a token":   {"https://git.example/a/b", secret("username", "bot", "password", "t0ken"), "bot", "t0ken", ""},
		"a bearer token":          {"https://git.example/a/b", secret("bearerToken", "t0ken"), "", "t0ken", ""},
		"a token for a name":      {"https://git.example/a/b", secret("username", "t0ken", "password", "x-oauth-basic"), "", "t0ken", ""},
		"none":                    {"https://git.example/a/b", nil, "", "", "has no credentials"},
		"an SSH key has no token": {"ssh://git@git.example/a/b", secret("identity", "x", "known_hosts", "y"), "", "", "an API token is needed"},
	} {
		t.Run(name, func(t *testing.T) {
			src := reconcile.Source{Name: types.NamespacedName{Namespace: "flux-system", Name: "fleet"}, URL: tt.url, Branch: "main",
				Auth: reconcile.Auth{Secret: tt.auth}}
			server, err := API(src, nil)
			var user, token string
			if err == nil {
				user, token, err = server.Login(t.Context())
			}
			if tt.err != "" {
				if reconcile.KindOf(err) != reconcile.FaultUnauthorized || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("it says %v", err)
				}
				return
			}
			if err != nil || user != tt.user || token != tt.token {
				t.Errorf("%q, %q, %v", user, token, err)
			}
			if got := server.Clean("it is "+token, 100); strings.Contains(got, token) {
				t.Errorf("%q holds the token", got)
			}
		})
	}
}

// Where image automation pushes to a branch of its own, nothing goes to the deployed one but by pull request.
func TestNothingIsPushedPastImageAutomation(t *testing.T) {
	t.Parallel()
	w, bad := standard(t)
	rev := w.wish(w.blame(query(repo + ":" + tag1)))
	w.src.Aside = "ImageUpdateAutomation/develop/develop pushes to updates, while Flux deploys main"
	if _, err := w.mirrors.Land(t.Context(), w.src, []reconcile.Revert{rev}); reconcile.KindOf(err) != reconcile.FaultWantsPullRequest ||
		!strings.Contains(err.Error(), "pushes to updates") {
		t.Errorf("it says %v", err)
	}
	if _, err := w.mirrors.Lift(t.Context(), w.src, reconcile.Lift{}); reconcile.KindOf(err) != reconcile.FaultWantsPullRequest {
		t.Errorf("it says %v", err)
	}
	if out := w.propose(rev); !out.Own || w.run(w.bare, "rev-parse", "main") != bad {
		t.Errorf("it is %+v", out)
	}
}

func TestWholeFilesAreProposedToo(t *testing.T) {
	t.Parallel()
	w, bad := standard(t)
	nodes, err := w.mirrors.Changed(w.Context(), w.src, bad)
	if err != nil || len(nodes) != 1 {
		t.Fatalf("changed %+v, %v", nodes, err)
	}
	proved := 0
	rev := reconcile.Revert{
		Subject: "Kustomization/flux-system/apps",
		Suspect: v1alpha1.Suspect{Commit: bad, Branch: "main", Places: nodes, When: v1alpha1.NewTime(time.Unix(1_770_000_000, 0))},
		Target:  v1alpha1.Target{Values: []v1alpha1.PlaceValue{{Value: nodes[0].Former}}},
		Proof:   func(context.Context, fs.FS, fs.FS) error { proved++; return nil },
	}
	out := w.propose(rev)
	if out.Landings[0].Err != nil || !out.Own || proved != 1 {
		t.Fatalf("proposed %+v, proved %d times", out, proved)
	}
	if got := w.run(w.bare, "rev-list", "--count", bad+".."+proposed); got != "1" {
		t.Errorf("%s commits were pushed, want the revert and no hold", got)
	}
	if got := w.run(w.bare, "rev-parse", proposed+":"+nodes[0].File); got != nodes[0].Former {
		t.Errorf("the branch has %s of %s, want %s", got, nodes[0].File, nodes[0].Former)
	}
	if again := w.propose(rev); !again.Own || again.Head != out.Head {
		t.Errorf("again it is %+v", again)
	}
	w.run(w.bare, "fsck", "--strict")
}
