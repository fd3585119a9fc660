package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// rival is a tenant with a namespace, a Git server, a GitRepository, a login, image automation and a policy of its own.
const rival = "rival"

// tenant is what the rival has outside of the cluster.
type tenant struct {
	git     *gitserver.Server
	mallory *fleet.Person
}

// moveOut gives the rival what it has, and takes it out of the other's repository.
func (r *tenant) moveOut(w *World) {
	w.t.Helper()
	var err error
	r.git, err = gitserver.Start(gitserver.Options{Username: "mallory", Password: "her own"})
	w.must(err)
	w.t.Cleanup(func() { _ = r.git.Close() })
	bare, err := r.git.Create("rival.git")
	w.must(err)
	r.mallory, err = fleet.NewPerson(w.t.Context(), "Mallory", bare, w.t.TempDir())
	w.must(err)
	ns := w.Fleet.Namespace(rival)
	own := map[string]string{}
	for _, app := range w.Fleet.Apps {
		own[w.Fleet.File(rival, app)] = w.Fleet.Files[w.Fleet.File(rival, app)]
		delete(w.Fleet.Files, w.Fleet.File(rival, app))
	}
	r.push(w, "Begin", own)
	repo, secret := gitSource(w).DeepCopy(), gitSecret(w).DeepCopy()
	repo.Namespace, secret.Namespace = ns, ns
	repo.Spec.URL = r.git.URL + "/rival.git"
	secret.StringData = map[string]string{"username": "mallory", "password": "her own"}
	w.Fleet.Objects = append(w.Fleet.Objects, repo, secret)
	fleet.Get[*kustomizev1.Kustomization](w.Fleet, w.Fleet.FluxNamespace(), rival).Namespace = ns
	fleet.Get[*automationv1.ImageUpdateAutomation](w.Fleet, ns, rival).Spec.SourceRef.Namespace = ""
}

func (r *tenant) push(w *World, message string, files map[string]string) {
	w.t.Helper()
	w.must(r.mallory.Write(files))
	_, err := r.mallory.Push(w.t.Context(), message)
	w.must(err)
}

// trailers are the Rollbacks that a repository's commits name.
func (r *tenant) trailers(w *World) string {
	w.t.Helper()
	out, err := r.mallory.Git(w.t.Context(), "--git-dir="+r.mallory.Repo, "log", "--format=%(trailers:key=Backstop-Rollback,valueonly)", fleet.Branch)
	w.must(err)
	return strings.Join(strings.Fields(out), " ")
}

// bait is a workload of the rival's that asks for the other's image.
const bait = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: NAME
  namespace: NS
  labels: {kustomize.toolkit.fluxcd.io/name: BYNAME, kustomize.toolkit.fluxcd.io/namespace: BYNS}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec: {containers: [{name: a, image: IMAGE}]}
`

func (w *World) baits(name, image, byNamespace, byName string) {
	w.t.Helper()
	w.must(w.Env.Apply(w.t.Context(), strings.NewReplacer("BYNAME", byName, "BYNS", byNamespace, "NAME", name,
		"NS", w.Fleet.Namespace(rival), "IMAGE", image).Replace(bait)))
}

// shadows makes a GitRepository of the other's URL without a login, and a Kustomization that claims to have applied a
// Deployment from the other's folder.
func (w *World) shadows(deployment string) {
	w.t.Helper()
	ns := w.Fleet.Namespace(rival)
	repo := gitSource(w).DeepCopy()
	repo.ObjectMeta = metav1.ObjectMeta{Namespace: ns, Name: "shadow"}
	repo.Spec.SecretRef = nil
	w.must(w.Client.Create(w.t.Context(), repo))
	k := fleet.Get[*kustomizev1.Kustomization](w.Fleet, w.Fleet.FluxNamespace(), prod).DeepCopy()
	k.ObjectMeta = metav1.ObjectMeta{Namespace: ns, Name: "shadow"}
	k.Spec.SourceRef.Name, k.Spec.Suspend = "shadow", true // so that nobody corrects its status
	w.must(w.Client.Create(w.t.Context(), k))
	k.Status.Inventory = &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{{ID: ns + "_" + deployment + "_apps_Deployment", Version: "v1"}}}
	w.must(w.Client.Status().Update(w.t.Context(), k))
}

func TestTwoTenants(t *testing.T) {
	t.Parallel()
	r := &tenant{}
	w := world(t, quick, func(s *setup) {
		s.Fleet.Environments, s.Fleet.Apps = []string{prod, rival}, []string{"backend", "frontend", "worker"}
		s.Vary = r.moveOut
	})
	w.grantSecrets(w.Fleet.Namespace(rival), fleet.SourceName)
	first := startSidecar(t, w)
	w.auto(prod)
	w.auto(rival)
	w.Settle()

	// Each is reverted in its own repository.
	for _, env := range []string{prod, rival} {
		w.publishBad("backend", fleet.Tag(env, 1))
	}
	for _, env := range []string{prod, rival} {
		w.ends(env, w.Fleet.Image("backend", fleet.Tag(env, 1)), v1alpha1.ResultVerified)
		w.runs(env, "backend", fleet.Tag(env, 0))
	}
	others := w.git("log", "--format=%B", fleet.Branch)
	if strings.Contains(others, w.Fleet.Namespace(rival)) || !strings.Contains(others, "Backstop-Rollback: ") {
		t.Errorf("the other's repository says:\n%s", others)
	}
	if got := r.trailers(w); strings.Contains(got, w.Fleet.Namespace(prod)) || !strings.Contains(got, w.Fleet.Namespace(rival)) {
		t.Errorf("the rival's repository names %s", got)
	}

	// What the other leaves broken, the rival does not get changed: not by labels, by an inventory, by the same URL or by
	// a policy that names the other's GitRepository.
	w.must(w.Client.Delete(t.Context(), &v1alpha1.RollbackPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: "apps"}}))
	labels, shadow := w.publishBad("frontend", fleet.Tag(prod, 1)), w.publishBad("worker", fleet.Tag(prod, 1))
	for _, image := range []string{labels, shadow} {
		w.ends(prod, image, v1alpha1.ResultReportedOnly)
	}
	tip := w.Tip()
	w.shadows("by-shadow")
	w.baits("by-labels", labels, w.Fleet.FluxNamespace(), prod)
	w.baits("by-shadow", shadow, w.Fleet.Namespace(rival), "shadow")
	w.ends(rival, labels, v1alpha1.ResultSourceNotFound, "its inventory does not hold it")
	stays := func(s *v1alpha1.RollbackStatus) bool {
		return s.Waiting != nil && s.Waiting.Refused == "Unauthorized" && s.Change == nil
	}
	w.until(rival, shadow, "gets no login of the other's", stays)
	policy := &v1alpha1.RollbackPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(rival), Name: "apps"}}
	amend(w, policy, func(p *v1alpha1.RollbackPolicy) {
		p.Spec.SourceRef = &v1alpha1.SourceRef{Namespace: w.Fleet.FluxNamespace(), Name: fleet.SourceName}
	})
	w.unmoved(prod, tip)
	w.until(rival, shadow, "gets none by its policy", stays)

	// A hold in the rival's repository that names the other's Rollback opens none there.
	first.Stop(patience)
	w.must(r.mallory.Pull(t.Context()))
	file, app := w.Fleet.File(rival, "worker"), w.Fleet.Namespace(rival)+":worker"
	text, err := os.ReadFile(r.mallory.Dir + "/" + file)
	w.must(err)
	hold := fmt.Sprintf("# backstop:hold not=%s since=%s {", fleet.Tag(rival, 9), time.Now().UTC().Format(time.RFC3339))
	r.push(w, fmt.Sprintf("Hold it\n\nBackstop-Kind: Hold\nBackstop-Rollback: %s/%s/worker-1\nBackstop-Image: %s\nBackstop-Policy: %s\nBackstop-Format: 1",
		w.Name, w.Fleet.Namespace(prod), w.Fleet.Image("worker", fleet.Tag(rival, 9)), app),
		map[string]string{file: strings.Replace(string(text), "# {", hold, 1)})
	startSidecar(t, w)
	adopted := func(env string) int {
		var list v1alpha1.RollbackList
		w.must(w.Client.List(t.Context(), &list, client.InNamespace(w.Fleet.Namespace(env))))
		n := 0
		for i := range list.Items {
			if list.Items[i].Annotations[reconcile.AdoptsAnnotation] != "" {
				n++
			}
		}
		return n
	}
	w.Until("the hold is recorded where it is", func() error {
		if adopted(rival) == 0 {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	if n := adopted(prod); n > 0 {
		t.Errorf("the rival's hold opened %d Rollbacks of the other's", n)
	}
	w.unmoved(prod, tip)
}
