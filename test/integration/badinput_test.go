package integration

import (
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// Bad input is data: it is named in a sentence that describes what to do, and nothing comes to harm by it.

// deployedFrom adds a Kustomization with a source of its own that says to have applied a Deployment by its name.
// Nobody applies it: it is suspended.
func (w *World) deployedFrom(name string, source client.Object, kind string, vary func(*kustomizev1.Kustomization)) {
	w.t.Helper()
	flux := w.Fleet.FluxNamespace()
	if source != nil {
		source.SetNamespace(flux)
		source.SetName(name)
		w.must(w.Client.Create(w.t.Context(), source))
	}
	k := &kustomizev1.Kustomization{
		ObjectMeta: metav1.ObjectMeta{Namespace: flux, Name: name},
		Spec: kustomizev1.KustomizationSpec{
			SourceRef: kustomizev1.CrossNamespaceSourceReference{Kind: kind, Name: name},
			Path:      "./apps/production", Interval: metav1.Duration{Duration: time.Hour}, Suspend: true,
		},
	}
	if vary != nil {
		vary(k)
	}
	w.must(w.Client.Create(w.t.Context(), k))
	entry := kustomizev1.ResourceRef{ID: w.Fleet.Namespace(prod) + "_" + name + "_apps_Deployment", Version: "v1"}
	k.Status.Inventory = &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{entry}}
	w.must(w.Client.Status().Update(w.t.Context(), k))
}

// pinned is a GitRepository that follows no branch, and is not fetched.
func (w *World) pinned(ref sourcev1.GitRepositoryRef) *sourcev1.GitRepository {
	hour := metav1.Duration{Duration: time.Hour}
	return &sourcev1.GitRepository{Spec: sourcev1.GitRepositorySpec{URL: w.Fleet.GitURL, Interval: hour, Suspend: true, Reference: &ref}}
}

func TestWorkloadThatNoWritableBranchDeploys(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.auto(prod, anyone)
	w.Settle()
	tip, ns, flux := w.Tip(), w.Fleet.Namespace(prod), w.Fleet.FluxNamespace()
	hour := metav1.Duration{Duration: time.Hour}
	oci := &sourcev1.OCIRepository{Spec: sourcev1.OCIRepositorySpec{URL: "oci://registry.example.com/manifests", Interval: hour, Suspend: true}}
	bucket := &sourcev1.Bucket{Spec: sourcev1.BucketSpec{BucketName: "manifests", Endpoint: "s3.example.com", Interval: hour, Suspend: true}}
	remote := func(k *kustomizev1.Kustomization) {
		k.Spec.SourceRef.Name = fleet.SourceName
		k.Spec.KubeConfig = &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: "other-cluster"}}
	}
	const git = sourcev1.GitRepositoryKind
	commit := strings.Repeat("0123abcd", 5)
	const follow = ", so no revert on a branch reaches the cluster: change what it is pinned to, or let it follow a branch (spec.ref.branch)"
	all := []struct {
		name   string
		source client.Object
		kind   string
		vary   func(*kustomizev1.Kustomization)
		says   []string
	}{
		{"unowned", nil, "", nil, []string{"is not applied by Flux: no Kustomization or HelmRelease owns it", "fix it where it was deployed from"}},
		{"oci", oci, "OCIRepository", nil, []string{"is deployed from OCIRepository/" + flux + "/oci, which is no Git repository", "(spec.sourceRef)"}},
		{"bucket", bucket, "Bucket", nil, []string{"is deployed from Bucket/" + flux + "/bucket, which is no Git repository", "(spec.sourceRef)"}},
		{"tag", w.pinned(sourcev1.GitRepositoryRef{Tag: "v1"}), git, nil, []string{"GitRepository/" + flux + "/tag is pinned to tag v1" + follow}},
		{"commit", w.pinned(sourcev1.GitRepositoryRef{Commit: commit}), git, nil, []string{"GitRepository/" + flux + "/commit is pinned to commit " + commit + follow}},
		{"semver", w.pinned(sourcev1.GitRepositoryRef{SemVer: ">=1.0.0"}), git, nil, []string{"GitRepository/" + flux + "/semver is pinned to the version range >=1.0.0" + follow}},
		{"remote", nil, git, remote, []string{"Kustomization/" + flux + "/remote applies to a remote cluster (spec.kubeConfig)", "run Backstop in that cluster"}},
	}
	for _, c := range all {
		d := w.intruder(c.name, w.Fleet.Image("elsewhere", c.name), c.name, "")
		if c.kind == "" {
			d.Labels = nil
		} else {
			w.deployedFrom(c.name, c.source, c.kind, c.vary)
		}
		w.must(w.Client.Create(t.Context(), d))
	}
	for _, c := range all {
		r := w.ends(prod, w.Fleet.Image("elsewhere", c.name), v1alpha1.ResultSourceNotFound, c.says...)
		if s := r.Status; s.Suspect != nil || s.Change != nil || s.Request != nil {
			t.Errorf("%s: status %+v", c.name, s)
		}
		if got := w.LiveImage(prod, c.name); got != w.Fleet.Image("elsewhere", c.name) {
			t.Errorf("%s/%s has %s", ns, c.name, got)
		}
	}
	if w.Tip() != tip || w.Git.Pushes() != 0 {
		t.Errorf("the tip is %s after %d pushes, want it left at %s", w.Tip(), w.Git.Pushes(), tip)
	}
}

// odd is a Deployment whose image is no reference.
const odd = `apiVersion: apps/v1
kind: Deployment
metadata: {name: odd, namespace: NS, labels: {tier: web}}
spec:
  selector: {matchLabels: {app: odd}}
  template:
    metadata: {labels: {app: odd}}
    spec: {containers: [{name: a, image: "Not/An:Image:Reference"}]}
`

func TestFileMarkerAndImageThatCannotBeRead(t *testing.T) {
	t.Parallel()
	const broken = "apps/production/broken.yaml"
	w := world(t, quick)
	w.auto(prod)
	w.Settle()
	good, bad := w.Fleet.Image("backend", fleet.Tag(prod, 0)), w.publishBad("backend", fleet.Tag(prod, 1))
	suspect := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	w.fails(prod, bad)
	// A marker that names no policy, at an image that there is not; and an image that is no reference.
	missing := w.Fleet.Image("frontend", "no-such-tag")
	commit, err := w.Alice.Change(t.Context(), w.Fleet.File(prod, "frontend"), "Rename the policy", func(text string) string {
		text = strings.Replace(text, w.Fleet.Marker(prod, "frontend", ""), `# {"$imagepolicy": "nowhere:nothing"}`, 1)
		return strings.Replace(text, w.Fleet.Image("frontend", fleet.Tag(prod, 0)), missing, 1) +
			"---\n" + strings.Replace(odd, "NS", w.Fleet.Namespace(prod), 1)
	})
	w.must(err)
	w.fails(prod, missing)
	w.fails(prod, "InvalidImageName")
	// A file that is not YAML: Flux builds nothing from here on.
	w.must(w.Alice.Write(map[string]string{broken: "}{ \x00 [[[ : ? \xff\xfe not YAML\n"}))
	_, err = w.Alice.Push(t.Context(), "Break it")
	w.must(err)

	s := startSidecar(t, w)
	r := w.waits(prod, bad, "Kustomization/"+w.Fleet.FluxNamespace()+"/"+prod+" failed (BuildFailed)", "broken.yaml")
	if r.Status.Suspect.Commit != suspect {
		t.Errorf("blamed %s, want %s", r.Status.Suspect.Commit, suspect)
	}
	w.undone(r, map[string]string{w.Fleet.File(prod, "backend"): w.blob(suspect+"^", w.Fleet.File(prod, "backend"))})
	told := w.ends(prod, missing, v1alpha1.ResultReportedOnly, missing+" came in with "+commit[:12], "the change is not image automation's",
		"the marker names nowhere:nothing, which is no ImagePolicy")
	if n := told.Status.Suspect.Places; len(n) != 1 || n[0].Marker != "nowhere:nothing" || told.Status.Suspect.Automation != nil {
		t.Errorf("suspect %+v", told.Status.Suspect)
	}
	told = w.ends(prod, "Not/An:Image:Reference", v1alpha1.ResultReportedOnly, "Not/An:Image:Reference came in with "+commit[:12])
	if f := told.Status.Failures; len(f) != 1 || f[0].Cause != v1alpha1.CauseInvalidName {
		t.Errorf("failures %+v", f)
	}

	// Mended, it goes on where it was.
	w.must(w.Alice.Pull(t.Context()))
	w.must(w.Alice.Write(map[string]string{broken: ""}))
	_, err = w.Alice.Push(t.Context(), "Mend it")
	w.must(err)
	w.ends(prod, bad, v1alpha1.ResultVerified, "Deployment/backend runs "+good+" again")
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	if strings.Contains(s.Log(), `"level":"ERROR"`) {
		t.Error("what people wrote is logged as an error of Backstop's")
	}
}
