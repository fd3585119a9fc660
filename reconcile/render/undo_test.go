package render_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// at are the files of a commit.
func (l line) at(commit string) map[string]string {
	files := map[string]string{}
	for i, c := range l {
		maps.Copy(files, c)
		if fmt.Sprint(i) == commit {
			break
		}
	}
	maps.DeleteFunc(files, func(_, data string) bool { return data == "" })
	return files
}

func (l line) before(commit string) string {
	var n int
	_, _ = fmt.Sscan(commit, &n)
	return fmt.Sprint(n - 1)
}

func (l line) Changed(_ context.Context, _ reconcile.Source, commit string) ([]v1alpha1.Place, error) {
	was, is := l.at(l.before(commit)), l.at(commit)
	hash := func(data string) string {
		if data == "" {
			return v1alpha1.NoFile
		}
		return fmt.Sprintf("%x", sha256.Sum256([]byte(data)))
	}
	all := maps.Clone(was)
	maps.Copy(all, is)
	var out []v1alpha1.Place
	for _, file := range slices.Sorted(maps.Keys(all)) {
		if was[file] != is[file] {
			out = append(out, v1alpha1.Place{File: file, Part: v1alpha1.PartFile, Bad: hash(is[file]), Former: hash(was[file])})
		}
	}
	return out, nil
}

func (l line) Without(_ context.Context, _ reconcile.Source, commit string, files []string) (fs.FS, error) {
	return hashed{tree(l.without(commit, commit, files))}, nil
}

// without are the files of a tip without what a commit did to some of them, which nobody touched since.
func (l line) without(tip, commit string, files []string) map[string]string {
	out, was := l.at(tip), l.at(l.before(commit))
	for _, file := range files {
		if _, there := was[file]; there {
			out[file] = was[file]
		} else {
			delete(out, file)
		}
	}
	return out
}

// digestOf is that of what Flux makes of files.
func digestOf(t *testing.T, text string) string {
	t.Helper()
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text)))
}

// doc is a further document of a file.
func doc(api, kind, ns, rest string) string {
	meta := "  name: other\n"
	if ns != "" {
		meta += "  namespace: " + ns + "\n"
	}
	return "---\napiVersion: " + api + "\nkind: " + kind + "\nmetadata:\n" + meta + rest + "\n"
}

// annotated is one that tells Flux what to do with it.
func annotated(order string) string {
	return strings.Replace(doc("v1", "ConfigMap", "prod", "immutable: false"), "  name:",
		"  annotations: {kustomize.toolkit.fluxcd.io/"+order+"}\n  name:", 1)
}

func secretly(value string) string {
	return strings.Replace(doc("v1", "Secret", "prod", "stringData: {a: "+value+"}"), "other", "plain", 1)
}

func stateful(size string) string {
	return "apiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: db\n  namespace: prod\nspec:\n  volumeClaimTemplates:\n" +
		"  - metadata: {name: data}\n    spec: {resources: {requests: {storage: " + size + "}}}\n"
}

const scaler = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: app\n  namespace: prod\nspec:\n" +
	"  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: app}\n  maxReplicas: 9\n"

func TestUndoByFilesIsProvedOrRefused(t *testing.T) {
	const (
		app    = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app\n  namespace: prod\nspec:\n  replicas: 1\n"
		config = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n  namespace: prod\ndata:\n  a: b\n"
		claim  = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: disk\n  namespace: prod\nspec:\n  accessModes: [ReadWriteOnce]\n"
		role   = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: reader\n  namespace: prod\nrules: []\n"
		broken = app + "  - [not YAML\n"
		bases  = "resources:\n- ../base\n"
	)
	field := strings.Replace(app, "replicas: 1", "replica: 1", 1)
	object := &v1alpha1.ObjectRef{Kind: "Deployment", Namespace: "prod", Name: "app"}
	deployed := reconcile.AppliedObject{Group: "apps", Kind: "Deployment", Namespace: "prod", Name: "app"}
	moreConfig := config + "  c: d\n"
	secret := func(v string) string {
		return "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n  namespace: prod\nstringData:\n  a: ENC[" + v + "]\nsops:\n  mac: x\n  version: 3.9.0\n"
	}
	type situation struct {
		line   line
		object *v1alpha1.ObjectRef
		// suspect is the index of the commit that is blamed, and bad of the one that was attempted: the last where it is
		// zero.
		suspect, bad int
		spec         func(*kustomizev1.KustomizationSpec)
		applied      []reconcile.AppliedObject
		others       []reconcile.Root
		digest       string
		// files go back, and also changes with them; refused explains why not. shared are who else applies them.
		files, also, shared []string
		refused             v1alpha1.DoubtType
		says                string
	}
	// with is a file that goes back, in which another object changes as well.
	with := func(was, is string, refused v1alpha1.DoubtType, says string) situation {
		return situation{
			line: line{{"apps/app.yaml": app + was}, {"apps/app.yaml": field + is}}, object: object, suspect: 1, files: []string{"apps/app.yaml"},
			refused: refused, says: says,
		}
	}
	for name, c := range map[string]situation{
		"YAML that does not parse": {line: line{{"apps/app.yaml": app}, {"apps/app.yaml": broken}}, suspect: 1, files: []string{"apps/app.yaml"}},
		"broken among five commits in one fetch": {line: line{{"apps/app.yaml": app}, {"README": "1"}, {"apps/settings.yaml": config},
			{"apps/app.yaml": broken, "README": "2"}, {"apps/settings.yaml": moreConfig}, {"README": "3"}}, suspect: 3, files: []string{"apps/app.yaml"},
			also: []string{"ConfigMap/prod/settings"}},
		"two broken commits in a row": {line: line{{"apps/app.yaml": app, "apps/settings.yaml": config}, {"apps/app.yaml": broken}, {"apps/settings.yaml": "a: [\n"}},
			suspect: 1, files: []string{"apps/app.yaml"}, refused: v1alpha1.DoubtStillFails, says: "still cannot be built"},
		"unknown field refused by the server": {line: line{{"apps/app.yaml": app, "apps/settings.yaml": config}, {"apps/app.yaml": field, "apps/settings.yaml": moreConfig}},
			object: object, suspect: 1, files: []string{"apps/app.yaml"}},
		"immutable field": {line: line{{"apps/app.yaml": app + "  selector: {matchLabels: {a: b}}\n"}, {"README": "1"}, {"apps/app.yaml": app + "  selector: {matchLabels: {a: c}}\n"}},
			object: object, suspect: 2, files: []string{"apps/app.yaml"}},
		"admission webhook refuses what a patch of the folder changed": {line: line{{"apps/kustomization.yaml": bases, "base/kustomization.yaml": "resources: [app.yaml, settings.yaml]\n", "base/app.yaml": app, "base/settings.yaml": config},
			{"base/kustomization.yaml": "resources: [app.yaml, settings.yaml]\nlabels: [{pairs: {a: b}}]\n"}}, object: object, suspect: 1, files: []string{"base/kustomization.yaml"},
			also: []string{"ConfigMap/prod/settings"}},
		"a shared base": {line: line{{"apps/kustomization.yaml": bases, "blue/kustomization.yaml": bases, "base/kustomization.yaml": "resources: [app.yaml]\n", "base/app.yaml": app, "green/app.yaml": app},
			{"base/kustomization.yaml": "resources: [app.yaml, none.yaml]\n"}}, suspect: 1, files: []string{"base/kustomization.yaml"},
			others: []reconcile.Root{{Path: "./blue", By: v1alpha1.ObjectRef{Kind: "Kustomization", Name: "blue"}}, {Path: "green", By: v1alpha1.ObjectRef{Kind: "Kustomization", Name: "green"}}},
			shared: []string{"Kustomization/blue"}},
		"an undo that would prune": {line: line{{"apps/app.yaml": app}, {"apps/settings.yaml": config}, {"apps/app.yaml": field}}, object: object, suspect: 2,
			applied: []reconcile.AppliedObject{{Kind: "Secret", Namespace: "prod", Name: "kept"}}, files: []string{"apps/app.yaml"}, refused: v1alpha1.DoubtPrunes, says: "Secret/prod/kept would not be in Git"},
		"an undo that would prune what went well before": {line: line{{"apps/app.yaml": app, "apps/settings.yaml": config}, {"apps/settings.yaml": ""}, {"apps/app.yaml": field}}, object: object, suspect: 2,
			files: []string{"apps/app.yaml"}, refused: v1alpha1.DoubtPrunes},
		"a claim that changes in a commit that was not applied yet": {line: line{{"apps/app.yaml": app, "apps/disk.yaml": claim}, {"apps/disk.yaml": claim + "  volumeName: x\n"}, {"apps/app.yaml": field}}, object: object, suspect: 2,
			files: []string{"apps/app.yaml"}, refused: v1alpha1.DoubtProtected, says: "PersistentVolumeClaim/prod/disk would change"},
		"rights in the file that goes back": {line: line{{"apps/app.yaml": app + "---\n" + role}, {"apps/app.yaml": field + "---\n" + strings.Replace(role, "rules: []", "rules: [{verbs: [get], apiGroups: [''], resources: [pods]}]", 1)}}, object: object, suspect: 1,
			files: []string{"apps/app.yaml"}, refused: v1alpha1.DoubtProtected},
		"a claim in the file that is not built": {line: line{{"apps/app.yaml": app + "---\n" + claim}, {"apps/app.yaml": broken + "---\n" + claim + "  volumeName: x\n"}}, suspect: 1,
			files: []string{"apps/app.yaml"}, refused: v1alpha1.DoubtProtected},
		"a namespace that came with what is not built": {line: line{{"apps/app.yaml": app}, {"apps/app.yaml": broken, "apps/ns.yaml": "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: new\n"}}, suspect: 1,
			files: []string{"apps/app.yaml", "apps/ns.yaml"}, refused: v1alpha1.DoubtProtected},
		"an object that came with the commit": {line: line{{"apps/settings.yaml": config}, {"apps/app.yaml": field}}, object: object, suspect: 1,
			files: []string{"apps/app.yaml"}, refused: v1alpha1.DoubtNotRestored, says: "was not there when it was applied well"},
		"a person's fix arrives first": {line: line{{"apps/app.yaml": app, "apps/kustomization.yaml": "resources: [app.yaml]\n"}, {"apps/kustomization.yaml": "resources: [app.yaml, none.yaml]\n"}, {"apps/none.yaml": config}},
			suspect: 1, bad: 1, files: []string{"apps/kustomization.yaml"}, refused: v1alpha1.DoubtMended},
		"a person tries to fix the object": {line: line{{"apps/app.yaml": app, "apps/kustomization.yaml": "resources: [app.yaml]\n"}, {"apps/app.yaml": field}, {"apps/kustomization.yaml": "resources: [app.yaml]\nlabels: [{pairs: {a: b}}]\n"}},
			object: object, suspect: 1, bad: 1, files: []string{"apps/app.yaml"}, refused: v1alpha1.DoubtChangedSince},
		"SOPS": {line: line{{"apps/app.yaml": app, "apps/secret.yaml": secret("1")}, {"apps/app.yaml": broken}}, suspect: 1, digest: "sha256:decrypted", files: []string{"apps/app.yaml"},
			refused: v1alpha1.DoubtNotComparable, says: "encrypted by SOPS"},
		"SOPS in a file that goes back": {line: line{{"apps/app.yaml": app + "---\n" + secret("1")}, {"apps/app.yaml": broken + "---\n" + secret("2")}}, suspect: 1,
			files: []string{"apps/app.yaml"}, refused: v1alpha1.DoubtEncrypted},
		"substituteFrom": {line: line{{"apps/app.yaml": strings.Replace(app, "prod", "${ns}", 1)}, {"apps/app.yaml": broken}}, suspect: 1, files: []string{"apps/app.yaml"}, digest: "sha256:replaced",
			spec: func(s *kustomizev1.KustomizationSpec) {
				s.PostBuild = &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{{Kind: "ConfigMap", Name: "x"}}}
			}, refused: v1alpha1.DoubtNotComparable, says: "variables of the cluster"},
		"the folder is gone":                  {line: line{{"apps/app.yaml": app, "README": "1"}, {"apps/app.yaml": ""}}, suspect: 1, files: []string{"apps/app.yaml"}},
		"a Secret in the file that goes back": with(secretly("a"), secretly("b"), v1alpha1.DoubtProtected, "Secret/prod/plain would change"),
		"a budget that came with the commit":  with("", doc("policy/v1", "PodDisruptionBudget", "prod", "spec: {minAvailable: 1}"), v1alpha1.DoubtProtected, "PodDisruptionBudget"),
		"a webhook that came with the commit": with("", doc("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "", "webhooks: []"), v1alpha1.DoubtProtected, ""),
		"an APIService":                       with(doc("apiregistration.k8s.io/v1", "APIService", "", "spec: {version: v1}"), doc("apiregistration.k8s.io/v1", "APIService", "", "spec: {version: v2}"), v1alpha1.DoubtProtected, ""),
		"a network policy of Cilium":          with(doc("cilium.io/v2", "CiliumNetworkPolicy", "prod", "spec: {a: 1}"), doc("cilium.io/v2", "CiliumNetworkPolicy", "prod", "spec: {a: 2}"), v1alpha1.DoubtProtected, ""),
		"an object of the whole cluster":      with(doc("kyverno.io/v1", "ClusterPolicy", "", "spec: {a: 1}"), doc("kyverno.io/v1", "ClusterPolicy", "", "spec: {a: 2}"), v1alpha1.DoubtProtected, "is the whole cluster's"),
		"a Kustomization below":               with(doc("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "prod", "spec: {path: a}"), doc("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "prod", "spec: {path: b}"), v1alpha1.DoubtProtected, "what it applies"),
		"a source below":                      with(doc("source.toolkit.fluxcd.io/v1", "GitRepository", "prod", "spec: {url: a}"), doc("source.toolkit.fluxcd.io/v1", "GitRepository", "prod", "spec: {url: b}"), v1alpha1.DoubtProtected, "what it applies"),
		"a finalizer that came with the commit": with(doc("v1", "ConfigMap", "prod", "data: {}"), strings.Replace(doc("v1", "ConfigMap", "prod", "data: {}"), "  name:", "  finalizers: [x.io/a]\n  name:", 1),
			v1alpha1.DoubtProtected, "lose its finalizer"),
		"a guard against deletion that came with the commit": with(doc("v1", "ConfigMap", "prod", "data: {}"), annotated("prune: disabled"), v1alpha1.DoubtProtected, "(prune)"),
		"an object that Flux makes only once":                with(annotated("ssa: IfNotPresent"), annotated("ssa: IfNotPresent")+"data: {a: b}\n", v1alpha1.DoubtNotRestored, "(ssa: IfNotPresent)"),
		"an object that Flux only adds to":                   with(annotated("ssa: Merge"), annotated("ssa: Merge")+"data: {a: b}\n", v1alpha1.DoubtNotRestored, "(ssa: Merge)"),
		"an object that Flux leaves alone":                   with(annotated("reconcile: disabled"), annotated("reconcile: disabled")+"data: {a: b}\n", v1alpha1.DoubtNotRestored, ""),
		"an object that Flux makes anew":                     with(annotated("force: enabled"), annotated("force: enabled")+"data: {a: b}\n", v1alpha1.DoubtProtected, "(force)"),
		"a Kustomization that makes everything anew": {line: line{{"apps/app.yaml": app}, {"apps/app.yaml": field}}, object: object, suspect: 1, files: []string{"apps/app.yaml"},
			spec: func(s *kustomizev1.KustomizationSpec) { s.Force = true }, refused: v1alpha1.DoubtProtected, says: "(force)"},
		"replicas that something scales": {line: line{{"apps/app.yaml": app, "apps/hpa.yaml": scaler}, {"apps/app.yaml": strings.Replace(app, "replicas: 1", "replica: 2", 1)}}, object: object, suspect: 1,
			files: []string{"apps/app.yaml"}, refused: v1alpha1.DoubtProtected, says: "HorizontalPodAutoscaler/prod/app scales"},
		"volumes of a StatefulSet in a commit that was not applied yet": {line: line{{"apps/app.yaml": app, "apps/db.yaml": stateful("1Gi")}, {"apps/db.yaml": stateful("2Gi")}, {"apps/app.yaml": field}},
			object: object, suspect: 2, files: []string{"apps/app.yaml"}, refused: v1alpha1.DoubtStillFails, says: "StatefulSet"},
		"volumes of the StatefulSet that fails": {line: line{{"apps/app.yaml": app, "apps/db.yaml": stateful("1Gi")}, {"apps/db.yaml": stateful("2Gi")}}, suspect: 1,
			object: &v1alpha1.ObjectRef{Kind: "StatefulSet", Namespace: "prod", Name: "db"}, files: []string{"apps/db.yaml"}},
		"a build that is not Flux's": {line: line{{"apps/app.yaml": app}, {"apps/app.yaml": broken}}, suspect: 1, digest: "sha256:other", files: []string{"apps/app.yaml"}, refused: v1alpha1.DoubtNotComparable},
	} {
		t.Run(name, func(t *testing.T) {
			last := fmt.Sprint(len(c.line) - 1)
			bad := last
			if c.bad > 0 {
				bad = fmt.Sprint(c.bad)
			}
			job := render.Job{Spec: kustomizev1.KustomizationSpec{Path: "./apps"}}
			if c.spec != nil {
				c.spec(&job.Spec)
				job.Open = true
			}
			found, err := render.Blame(t.Context(), c.line, reconcile.Source{}, &render.Search{Job: job, Good: "0", Bad: bad, Object: c.object, Files: true, Others: c.others})
			if err != nil || found.Suspect == nil || found.Suspect.Commit != fmt.Sprint(c.suspect) {
				t.Fatalf("found %+v, %v", found, err)
			}
			var files, shared []string
			for _, n := range found.Files {
				files = append(files, n.File)
			}
			for _, o := range found.SharedBy {
				shared = append(shared, o.String())
			}
			if !slices.Equal(files, c.files) || !slices.Equal(shared, c.shared) {
				t.Errorf("files %q shared by %q, want %q and %q", files, shared, c.files, c.shared)
			}
			u := &render.Undo{Job: job, Object: c.object, Applied: append(c.applied, deployed), Files: files}
			u.Good, _ = c.line.Snapshot(t.Context(), reconcile.Source{}, "0")
			u.Bad, _ = c.line.Snapshot(t.Context(), reconcile.Source{}, bad)
			if u.Digests = []string{c.digest}; c.digest == "" {
				text, err := render.Text(t.Context(), u.Good, &job)
				if err != nil {
					t.Fatal(err)
				}
				u.Digests = []string{digestOf(t, text)}
			}
			if _, ok := c.line.at("0")["apps/app.yaml"]; !ok {
				u.Applied = c.applied
			}
			var also []string
			proof, err := u.Prove(t.Context())
			if err == nil {
				tip, _ := c.line.Snapshot(t.Context(), reconcile.Source{}, last)
				var refs []v1alpha1.ObjectRef
				refs, err = proof(t.Context(), tip, hashed{tree(c.line.without(last, fmt.Sprint(c.suspect), files))})
				for _, r := range refs {
					also = append(also, r.String())
				}
			}
			switch doubt := reconcile.DoubtOf(err); {
			case c.refused == "" && err != nil:
				t.Fatal(err)
			case c.refused != "" && (doubt == nil || doubt.Type != c.refused || !strings.Contains(doubt.Message, c.says)):
				t.Errorf("got %v, %+v; want %s %q", err, doubt, c.refused, c.says)
			case !slices.Equal(also, c.also):
				t.Errorf("%q change too, want %q", also, c.also)
			}
		})
	}
}
