package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// What must not be followed, believed or pushed.

// based moves the backend's manifest to a base that kustomizations of these environments refer to with dot-dot.
func (w *World) based(environments ...string) {
	text := w.Fleet.Files[w.Fleet.File(prod, "backend")]
	w.Fleet.Files["base/backend.yaml"] = strings.Replace(text, "  namespace: "+w.Fleet.Namespace(prod)+"\n", "", 1)
	w.Fleet.Files["base/kustomization.yaml"] = "resources: [backend.yaml]\n"
	for _, env := range environments {
		for _, app := range w.Fleet.Apps {
			delete(w.Fleet.Files, w.Fleet.File(env, app))
		}
		w.Fleet.Files["apps/"+env+"/kustomization.yaml"] = "namespace: " + w.Fleet.Namespace(env) + "\nresources: [../../base]\n"
	}
	fleet.Get[*automationv1.ImageUpdateAutomation](w.Fleet, w.Fleet.Namespace(prod), prod).Spec.Update.Path = "./base"
}

// graft puts an entry into the root tree of the deployed branch as nobody's git add would, and gives the commit.
func (w *World) graft(entry string) string {
	w.t.Helper()
	return w.regrow(w.git("ls-tree", fleet.Branch) + "\n" + entry)
}

// ungraft takes the entry of the root tree away that ends like this.
func (w *World) ungraft(end string) {
	w.t.Helper()
	w.regrow(strings.Join(slices.DeleteFunc(strings.Split(w.git("ls-tree", fleet.Branch), "\n"),
		func(line string) bool { return strings.HasSuffix(line, end) }), "\n"))
}

// regrow commits a root tree of these entries, and gives the commit.
func (w *World) regrow(entries string) string {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "git", "--git-dir="+w.Repo, "mktree")
	cmd.Stdin = strings.NewReader(entries + "\n")
	tree, err := cmd.Output()
	w.must(err)
	commit := w.git("commit-tree", "-p", fleet.Branch, "-m", "Nothing to see here", strings.TrimSpace(string(tree)))
	w.git("update-ref", "refs/heads/"+fleet.Branch, commit)
	return commit
}

func TestSymlinkSubmoduleAndDotDotInTheTree(t *testing.T) {
	t.Parallel()
	const file = "base/backend.yaml"
	w := world(t, quick, apps("backend"), vary(func(w *World) { w.based(prod) }))
	secret := filepath.Join(t.TempDir(), "outside.yaml")
	w.must(os.WriteFile(secret, []byte("password: horse battery\n"), 0o600))
	for link, to := range map[string]string{
		"base/again.yaml": "backend.yaml", "base/secret.yaml": secret, "base/loop": "..", "apps/production/up.yaml": "../../../../etc/passwd",
	} {
		w.must(os.Symlink(to, filepath.Join(w.Alice.Dir, link)))
	}
	w.hands([]string{"add", "--all"},
		[]string{"update-index", "--add", "--cacheinfo", "160000,1111111111111111111111111111111111111111,base/vendor"},
		[]string{"commit", "--quiet", "-m", "Links and a submodule"}, []string{"push", "--quiet", "origin", fleet.Branch})
	s := startSidecar(t, w)
	policy := w.auto(prod, mode(v1alpha1.ModeApprove))
	w.Settle()
	before, good := w.Tip(), w.Fleet.Image("backend", fleet.Tag(prod, 0))
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	suspect := w.next(before)
	w.waits(prod, bad, "the policy asks for an approval")

	// A folder by the name of dot-dot, which git itself would never add, in the tree that the revert is made of.
	grafted := w.graft("040000 tree " + w.git("rev-parse", fleet.Branch+":apps") + "\t..")
	w.changeMode(policy, v1alpha1.ModeAuto)
	r := w.until(prod, bad, "is reverted", func(s *v1alpha1.RollbackStatus) bool { return s.Change != nil })
	w.undone(r, map[string]string{file: w.blob(suspect+"^", file)})
	if got := w.git("rev-parse", r.Status.Change.Commit+"^"); got != grafted {
		t.Errorf("the revert is on %s, want %s", got, grafted)
	}
	list := func(commit string) string {
		return w.git("ls-tree", "-r", "-t", commit, "--", "base") + w.git("ls-tree", commit)
	}
	for _, entry := range []string{"120000 blob", "160000 commit 1111111111111111111111111111111111111111", "\t.."} {
		if was, is := strings.Count(list(grafted), entry), strings.Count(list(fleet.Branch), entry); was == 0 || was != is {
			t.Errorf("%d entries %q became %d:\n%s", was, entry, is, list(fleet.Branch))
		}
	}
	// Flux does not check such a tree out, and neither does git; somebody takes the folder away again.
	w.waits(prod, bad, "cannot be fetched")
	w.ungraft("\t..")
	w.ends(prod, bad, v1alpha1.ResultVerified, "runs "+good)
	w.runsImage(prod, "backend", good)
	if text, err := os.ReadFile(secret); err != nil || string(text) != "password: horse battery\n" {
		t.Errorf("what the link leads to is now %q, %v", text, err)
	}
	if strings.Contains(s.Log(), "horse battery") || strings.Contains(s.Log(), "root:x:") {
		t.Error("what a link leads to was read")
	}
}

func TestBaseSharedByTwoEnvironments(t *testing.T) {
	t.Parallel()
	const file, dev = "base/backend.yaml", "develop"
	w := world(t, quick, apps("backend"), func(s *setup) { s.Fleet.Environments = []string{dev, prod} },
		vary(func(w *World) { w.based(dev, prod) }))
	startSidecar(t, w)
	w.auto(dev)
	w.auto(prod)
	good := w.Fleet.Image("backend", fleet.Tag(prod, 0))
	w.runsImage(dev, "backend", good)
	w.runsImage(prod, "backend", good)
	before := w.Tip()
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	suspect := w.next(before)
	kustomization := "Kustomization/" + w.Fleet.FluxNamespace() + "/"
	w.waits(prod, bad, "a person decides by", "the files are also rendered by "+kustomization+dev)
	r := w.waits(dev, bad, "a person decides by", "the files are also rendered by "+kustomization+prod)
	if w.Tip() != suspect || r.Status.Verdict != nil {
		t.Errorf("the tip is %s and the verdict %+v, want nothing done after %s", w.Tip(), r.Status.Verdict, suspect)
	}

	change(w, w.record(prod, bad), func(r *v1alpha1.Rollback) {
		r.Spec.Decisions = []v1alpha1.Decision{{By: "admin", Question: r.Status.Question.ID, Answer: v1alpha1.Approve, At: v1alpha1.NewTime(time.Now()), Reason: "both of them"}}
	})
	r = w.ends(prod, bad, v1alpha1.ResultVerified, "runs "+good)
	if r.Status.Verdict.By != "admin" {
		t.Errorf("verdict %+v", r.Status.Verdict)
	}
	w.undone(r, map[string]string{file: w.blob(suspect+"^", file)})
	// The other environment's record follows what is in Git, and nobody reverts twice.
	other := w.ends(dev, bad, v1alpha1.ResultVerified, "runs "+good)
	if c := other.Status.Change; c.Commit != r.Status.Change.Commit || !strings.HasSuffix(c.By, "/"+r.Name) {
		t.Errorf("change %+v, want that of %s", c, r.Name)
	}
	w.runsImage(dev, "backend", good)
	w.runsImage(prod, "backend", good)
	if n := w.git("rev-list", "--count", "--grep=This reverts commit", fleet.Branch); n != "1" {
		t.Errorf("%s reverts", n)
	}
}

// intruder is a Deployment that nobody's Git knows, which says that Flux applied it.
func (w *World) intruder(name, image, kustomization string, pull corev1.PullPolicy) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: name, Labels: map[string]string{
			"kustomize.toolkit.fluxcd.io/name": kustomization, "kustomize.toolkit.fluxcd.io/namespace": w.Fleet.FluxNamespace(), "tier": "web",
		}},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: name, Image: image, ImagePullPolicy: pull}}},
		}},
	}
}

func TestForgedLabelsWithoutInventory(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.auto(prod, anyone)
	w.Settle()
	tip := w.Tip()
	// One fails for an image that Git says elsewhere and that runs there: believed, it would revert a good image.
	says := "is labelled as applied by Kustomization/" + w.Fleet.FluxNamespace() + "/"
	for _, c := range []struct {
		*appsv1.Deployment
		says string
	}{
		{w.intruder("stranger", w.Fleet.Image("backend", "no-such-tag"), prod, ""), says + prod + ", but its inventory does not hold it: labels can be forged"},
		{w.intruder("parasite", w.Fleet.Image("frontend", fleet.Tag(prod, 0)), prod, corev1.PullNever), says + prod + ", but its inventory does not hold it: labels can be forged"},
		{w.intruder("orphan", w.Fleet.Image("frontend", "no-such-tag"), "gone", ""), says + "gone, which does not exist: the labels may be forged or left over"},
	} {
		w.must(w.Client.Create(t.Context(), c.Deployment))
		image := c.Spec.Template.Spec.Containers[0].Image
		r := w.ends(prod, image, v1alpha1.ResultSourceNotFound, "Deployment/"+w.Fleet.Namespace(prod)+"/"+c.Name+" "+c.says)
		if s := r.Status; s.Suspect != nil || s.Change != nil || s.Request != nil {
			t.Errorf("status %+v", s)
		}
		if got := w.LiveImage(prod, c.Name); got != image {
			t.Errorf("%s has %s", c.Name, got)
		}
	}
	if w.Tip() != tip || w.Git.Pushes() != 0 {
		t.Errorf("the tip is %s after %d pushes, want it left at %s", w.Tip(), w.Git.Pushes(), tip)
	}
	k := Object(w, fleet.Get[*kustomizev1.Kustomization](w.Fleet, w.Fleet.FluxNamespace(), prod))
	if at := k.Annotations["reconcile.fluxcd.io/requestedAt"]; at != "" {
		t.Errorf("Flux was asked to reconcile at %s", at)
	}
	w.runs(prod, "frontend", fleet.Tag(prod, 0))
}

func TestAutomationThatPushesToAnotherBranch(t *testing.T) {
	t.Parallel()
	const updates = "image-updates"
	w := world(t, quick, vary(func(w *World) {
		fleet.Get[*automationv1.ImageUpdateAutomation](w.Fleet, w.Fleet.Namespace(prod), prod).Spec.GitSpec.Push.Branch = updates
	}))
	startSidecar(t, w)
	w.auto(prod)
	w.Settle()
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	ref := func() string { return w.git("for-each-ref", "--format=%(objectname)", "refs/heads/"+updates) }
	w.Until("image automation pushes to its branch", func() error {
		if ref() == "" {
			return fmt.Errorf("no such branch")
		}
		return nil
	})
	w.must(w.Alice.Pull(t.Context()))
	w.hands([]string{"fetch", "--quiet", "origin", updates}, []string{"merge", "--quiet", "--no-ff", "-m", "Merge image updates", "FETCH_HEAD"},
		[]string{"push", "--quiet", "origin", fleet.Branch})
	merged := w.Tip()
	r := w.ends(prod, bad, v1alpha1.ResultReportedOnly, "came in with "+merged[:12],
		fmt.Sprintf("ImageUpdateAutomation/%s/%s pushes to %s, while Flux deploys main: changes reach main by a pull request only", w.Fleet.Namespace(prod), prod, updates))
	if s := r.Status; s.Suspect.Commit != merged || s.Change != nil || s.Target.Image != w.Fleet.Image("backend", fleet.Tag(prod, 0)) {
		t.Errorf("status %+v", s)
	}
	pushes, branch := w.Git.Pushes(), ref()
	w.automationRan(prod, 3)
	if w.Tip() != merged || ref() != branch || w.Git.Pushes() != pushes {
		t.Errorf("the tip is %s and %s is %s after %d further pushes", w.Tip(), updates, ref(), w.Git.Pushes()-pushes)
	}
}
