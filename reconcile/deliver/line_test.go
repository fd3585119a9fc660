package deliver_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/deliver"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/test/forgestub"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// Commits and pull requests together, as clusters make them: the real mirrors, and the providers' stubs as Git servers.

const (
	tagGood, tagBad = "v1.0.0", "v1.1.0"
	images          = 20
)

// fleetAt are the files of some apps at a tag.
func fleetAt(apps int, tag string) map[string]string {
	files, resources := map[string]string{}, "resources:\n"
	for i := range apps {
		name := fmt.Sprintf("app-%02d", i)
		resources += "- " + name + ".yaml\n"
		files["apps/production/"+name+".yaml"] = fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: production}
spec:
  template:
    spec:
      containers:
      - name: %[1]s
        image: reg.example/%[1]s:%[2]s # {"$imagepolicy": "production:%[1]s"}
`, name, tag)
	}
	files["apps/production/kustomization.yaml"] = resources
	return files
}

// cluster is one that has Backstop.
type cluster struct {
	testing.TB
	git *gitrepo.Mirrors
	api reconcile.Forge
	src reconcile.Source
}

func aCluster(t testing.TB, f *forgestub.Forge, name string) *cluster {
	t.Helper()
	return clusterOf(t, f, name, "main")
}

// clusterOf is a cluster whose Flux deploys a branch.
func clusterOf(t testing.TB, f *forgestub.Forge, name, branch string) *cluster {
	t.Helper()
	c := &cluster{TB: t, src: reconcile.Source{Name: types.NamespacedName{Namespace: "flux-system", Name: name}, URL: f.RepoURL(),
		Branch: branch, Timeout: time.Minute, AuthorName: "fluxcdbot", AuthorEmail: "flux@example.com",
		Auth: reconcile.Auth{Secret: map[string][]byte{"username": []byte(forgestub.Bot), "password": []byte(forgestub.Token)}}}}
	var err error
	if c.git, err = gitrepo.New(t.TempDir(), gitrepo.Options{}); err != nil {
		t.Fatal(err)
	}
	dial := func(src reconcile.Source) (*reconcile.GitServer, error) { return gitrepo.API(src, nil) }
	if c.api, err = deliver.NewForges(dial, nil).Forge(t.Context(), c.src, ""); err != nil {
		t.Fatal(err)
	}
	return c
}

// reverts are what a cluster wants to revert.
func (c *cluster) reverts(name string) []reconcile.Revert {
	c.Helper()
	var out []reconcile.Revert
	for i := range images {
		out = append(out, c.revert(name, fmt.Sprintf("app-%02d", i)))
	}
	return out
}

// revert reverts one app.
func (c *cluster) revert(name, app string) reconcile.Revert {
	c.Helper()
	image := "reg.example/" + app + ":"
	s, err := c.git.Blame(c.Context(), c.src, reconcile.Query{Image: image + tagBad, Namespace: "production",
		Root: reconcile.Root{By: v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "production"}, Path: "apps/production"},
		Policies: []reconcile.ImagePolicy{{Name: "production:" + app, Latest: image + tagBad, Previous: image + tagGood,
			Automation: &v1alpha1.ObjectRef{Kind: "ImageUpdateAutomation", Namespace: "production", Name: "production"}}}})
	if err != nil {
		c.Fatal(err)
	}
	target := v1alpha1.Target{Image: image + tagGood, Proved: true}
	for n, node := range s.Places {
		target.Values = append(target.Values, v1alpha1.PlaceValue{Index: int32(n), Value: node.Former})
	}
	return reconcile.Revert{Rollback: name + "/production/" + app, Cluster: name, Image: image + tagBad, Suspect: s,
		Target: target, Hold: true, Lift: v1alpha1.LiftNewerImage, Workloads: []string{name + "/production/Deployment/" + app}}
}

// delivers brings reverts as the engine does.
func (c *cluster) delivers(reverts []reconcile.Revert) (*reconcile.PullRequest, error) {
	ctx := c.Context()
	if _, err := c.git.Land(ctx, c.src, reverts); reconcile.KindOf(err) != reconcile.FaultWantsPullRequest {
		return nil, fmt.Errorf("the push is not refused as it should be: %w", err)
	}
	at, base := reconcile.ProposedBranch(reverts[0].Suspect.Commit), c.src.Branch
	if pr, err := c.api.Find(ctx, at, ""); err != nil || pr != nil && pr.Base != "" && pr.Base != base {
		if at = reconcile.ProposedBranchTo(reverts[0].Suspect.Commit, base); err != nil {
			return nil, err
		}
	}
	src := c.src
	if a, is := c.api.(reconcile.Asker); is {
		src.Asks = a.Asks(reconcile.Proposal{Branch: at, Base: base, Story: reconcile.Story{
			Commit: reverts[0].Suspect.Commit, Message: "Revert " + reverts[0].Image}})
	}
	put, err := c.git.Propose(ctx, src, reconcile.Onto{Branch: at}, reverts)
	if err != nil {
		return nil, err
	}
	if pr, err := c.api.Find(ctx, at, base); pr != nil || err != nil {
		return pr, err
	}
	return c.api.Open(ctx, reconcile.Proposal{Branch: at, Base: base, Story: reconcile.Story{
		Image: reverts[0].Image, Target: reverts[0].Target.Image, Message: put.Message}})
}

func TestOnePullRequestForTwentyRollbacksOfTwoClusters(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		f, err := forgestub.Start(forgestub.Options{Kind: kind, Protected: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		for _, tag := range []string{tagGood, tagBad} {
			if _, err := f.Commit("main", "Update to "+tag, fleetAt(images, tag)); err != nil {
				t.Fatal(err)
			}
		}
		var both sync.WaitGroup
		var numbers [2]int64
		for i, name := range []string{"east", "west"} {
			c := aCluster(t, f, name)
			wanted := c.reverts(name)
			both.Go(func() {
				pr, err := c.delivers(wanted)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				numbers[i] = pr.Number
			})
		}
		both.Wait()
		if all := f.PRs(); len(all) != 1 || numbers[0] != 1 || numbers[1] != 1 {
			t.Fatalf("they have %v, and the provider %+v", numbers, all)
		}
		if err := f.MergeAs(1, "jane", "squash"); err != nil {
			t.Fatal(err)
		}
		for i := range images {
			name := fmt.Sprintf("app-%02d", i)
			got, err := f.Git("show", "main:apps/production/"+name+".yaml")
			if err != nil || !strings.Contains(got, "reg.example/"+name+":"+tagGood+" # backstop:hold not="+tagBad) {
				t.Errorf("%s says\n%s\n%v", name, got, err)
			}
		}
	})
}

func TestTheDeployedBranchHasAnotherName(t *testing.T) {
	const deployed = "release/production"
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		f, err := forgestub.Start(forgestub.Options{Kind: kind, Branch: deployed, Protected: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		for _, tag := range []string{tagGood, tagBad} {
			if _, err := f.Commit(deployed, "Update to "+tag, fleetAt(1, tag)); err != nil {
				t.Fatal(err)
			}
		}
		c := clusterOf(t, f, "east", deployed)
		if wants, err := c.api.WantsPullRequest(t.Context(), deployed); err != nil || wants == nil || !*wants {
			t.Errorf("its rules say %v, %v", wants, err)
		}
		pr, err := c.delivers([]reconcile.Revert{c.revert("east", "app-00")})
		if err != nil || pr.Base != deployed {
			t.Fatalf("opened %+v, %v", pr, err)
		}
		if pr, err = c.api.Read(t.Context(), pr.Number); err != nil || pr.Merge != reconcile.MergeClean {
			t.Fatalf("it is %+v, %v", pr, err)
		}
		if done, err := c.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head}); err != nil || done != reconcile.MergingDone {
			t.Fatalf("%s, %v", done, err)
		}
		if got, err := f.Git("show", deployed+":apps/production/app-00.yaml"); err != nil || !strings.Contains(got, ":"+tagGood+" # backstop:hold not="+tagBad) {
			t.Errorf("it says\n%s\n%v", got, err)
		}
	})
}

// A commit that two deployed branches of a repository have is reverted in each of them.
func TestTwoDeployedBranchesOfOneRepository(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		f := broken(t, forgestub.Options{Kind: kind}, 1)
		// Both go on by themselves.
		for _, branch := range []string{"production", "main"} {
			if _, err := f.Commit(branch, "Say something in "+branch, map[string]string{branch + ".md": branch}); err != nil {
				t.Fatal(err)
			}
		}
		refused := "while read old new ref; do case $ref in refs/heads/main | refs/heads/production) " +
			"echo 'Not allowed to push to protected branch' >&2; exit 1;; esac; done"
		if err := gitserver.Hook(f.Repo, "pre-receive", refused); err != nil {
			t.Fatal(err)
		}
		for i, branch := range []string{"main", "production", "main", "production"} {
			c := clusterOf(t, f, fmt.Sprint(branch, i), branch)
			pr, err := c.delivers([]reconcile.Revert{c.revert("east", "app-00")})
			if err != nil || pr.Base != branch || pr.Number != int64(i%2)+1 {
				t.Fatalf("%s has %+v, %v", branch, pr, err)
			}
		}
		if all := f.PRs(); len(all) != 2 {
			t.Fatalf("there are %+v", all)
		}
		for i, branch := range []string{"main", "production"} {
			if err := f.MergeAs(int64(i)+1, "jane", "merge"); err != nil {
				t.Fatal(err)
			}
			if got, err := f.Git("show", branch+":apps/production/app-00.yaml"); err != nil || !strings.Contains(got, ":"+tagGood+" # backstop:hold not="+tagBad) {
				t.Errorf("%s says\n%s\n%v", branch, got, err)
			}
		}
		if got, err := f.Git("ls-tree", "--name-only", "production"); err != nil || strings.Contains(got, "main.md") {
			t.Errorf("what is main's went to production: %s, %v", got, err)
		}
	})
}

// A server that gives back what it was given does not get it into a sentence.
func TestSecretsNowhere(t *testing.T) {
	basic := base64.StdEncoding.EncodeToString([]byte(forgestub.Bot + ":" + forgestub.Token))
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		src := reconcile.Source{Name: types.NamespacedName{Namespace: "flux-system", Name: "fleet"}, URL: w.RepoURL(), Branch: "main",
			Timeout: time.Minute, Auth: reconcile.Auth{Secret: map[string][]byte{"username": []byte(forgestub.Bot), "password": []byte(forgestub.Token)}}}
		server, err := gitrepo.API(src, nil)
		if err != nil {
			t.Fatal(err)
		}
		api := w.opened(server)
		pr, err := api.Open(t.Context(), proposal())
		if err != nil {
			t.Fatal(err)
		}
		for _, status := range []int{400, 401, 403, 404, 405, 409, 422, 429, 500, 503} {
			w.SetFault(func(rw http.ResponseWriter, r *http.Request) bool {
				rw.WriteHeader(status)
				_, _ = fmt.Fprintf(rw, `{"message":"you sent %s, which is %s"}`, r.Header.Get("Authorization"), forgestub.Token)
				return true
			})
			for name, call := range map[string]func(context.Context) error{
				"find": func(ctx context.Context) error { _, err := api.Find(ctx, branch, "main"); return err },
				"read": func(ctx context.Context) error { _, err := api.Read(ctx, pr.Number); return err },
				"open": func(ctx context.Context) error { _, err := api.Open(ctx, proposal()); return err },
				"merge": func(ctx context.Context) error {
					_, err := api.Merge(ctx, pr, reconcile.MergeOrder{Head: pr.Head})
					return err
				},
				"disarm": func(ctx context.Context) error { return api.Disarm(ctx, pr) },
				"close":  func(ctx context.Context) error { return api.Close(ctx, pr, "it is over") },
				"rules":  func(ctx context.Context) error { _, err := api.WantsPullRequest(ctx, "main"); return err },
			} {
				if err := call(t.Context()); err != nil && (strings.Contains(err.Error(), forgestub.Token) || strings.Contains(err.Error(), basic)) {
					t.Errorf("%s, HTTP %d: %v", name, status, err)
				}
			}
		}
	})
}
