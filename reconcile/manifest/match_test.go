package manifest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree reads files given as "-- name --" sections.
func tree(t *testing.T, archive string) []Node {
	t.Helper()
	var all []Node
	for _, section := range strings.Split(archive, "\n-- ")[1:] {
		name, data, ok := strings.Cut(section, " --\n")
		if !ok {
			t.Fatalf("no name in %q", section)
		}
		nodes, err := Nodes(name, []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, nodes...)
	}
	return all
}

func deployment(name, namespace, image string) string {
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: " + name + ", namespace: " + namespace + "}\n" +
		"spec: {template: {spec: {containers: [{name: app, image: \"" + image + "\"}, {name: side, image: side:v1}]}}}\n"
}

func TestMatchFindsWhatMakesTheImageRun(t *testing.T) {
	backend := Target{Namespace: "develop", Kind: "Deployment", Name: "backend", Container: "app"}
	for _, tc := range []struct {
		name, files, image string
		at                 Target
		want               []string
	}{
		{
			"the workload's own container among others of the image",
			"\n-- a --\n" + deployment("backend", "", "r/b:v1") + "\n-- b --\n" + deployment("worker", "", "r/b:v1"),
			"r/b:v1", backend, []string{"a Deployment/backend#/spec/template/spec/containers[name=app]/image"},
		}, {
			"every workload where none is named",
			"\n-- a --\n" + deployment("backend", "", "r/b:v1") + "\n-- b --\n" + deployment("worker", "", "r/b:v1"),
			"r/b:v1", Target{}, []string{"a Deployment/backend#/spec/template/spec/containers[name=app]/image", "b Deployment/worker#/spec/template/spec/containers[name=app]/image"},
		}, {
			"the namespace tells two workloads of one name apart",
			"\n-- a --\n" + deployment("backend", "staging", "r/b:v1") + "\n-- b --\n" + deployment("backend", "develop", "r/b:v1"),
			"r/b:v1", backend, []string{"b Deployment/develop/backend#/spec/template/spec/containers[name=app]/image"},
		}, {
			"a name to which kustomize adds a prefix, the longest",
			"\n-- a --\n" + deployment("backend", "", "r/b:v1") + "\n-- b --\n" + deployment("backend-worker", "", "r/b:v1"),
			"r/b:v1", Target{Kind: "Deployment", Name: "dev-backend-worker"}, []string{"b Deployment/backend-worker#/spec/template/spec/containers[name=app]/image"},
		}, {
			"nothing where another workload alone has the image",
			"\n-- a --\n" + deployment("worker", "", "r/b:v1"), "r/b:v1", backend, nil,
		}, {
			"nothing where another kind of the name has the image",
			"\n-- a --\n" + strings.Replace(deployment("backend", "", "r/b:v1"), "Deployment", "StatefulSet", 1), "r/b:v1", backend, nil,
		}, {
			"all containers of the workload that have the image",
			"\n-- a --\n" + strings.Replace(deployment("backend", "", "r/b:v1"), "side:v1", "r/b:v1", 1), "r/b:v1", backend,
			[]string{"a Deployment/backend#/spec/template/spec/containers[name=app]/image", "a Deployment/backend#/spec/template/spec/containers[name=side]/image"},
		}, {
			"a CronJob for a Job of it",
			"\n-- a --\n" + strings.Replace(deployment("nightly", "", "r/b:v1"), "Deployment", "CronJob", 1), "r/b:v1",
			Target{Kind: "Job", Name: "nightly-29001234"}, []string{"a CronJob/nightly#/spec/template/spec/containers[name=app]/image"},
		}, {
			"kustomize's entry over the base that it overrides",
			"\n-- base --\n" + deployment("backend", "", "backend:latest") + "\n-- k --\nimages:\n- {name: backend, newName: r/b, newTag: v1}\n",
			"r/b:v1", backend, []string{"k #/images[name=backend]/newName", "k #/images[name=backend]/newTag"},
		}, {
			"entry and base where both say it",
			"\n-- base --\n" + deployment("backend", "", "r/b:v1") + "\n-- k --\nimages: [{name: r/b, newTag: v1}]\n",
			"r/b:v1", backend, []string{"base Deployment/backend#/spec/template/spec/containers[name=app]/image", "k #/images[name=r~1b]/newTag"},
		}, {
			"name and tag in entries of their own",
			"\n-- base --\n" + deployment("backend", "", "backend") + "\n-- k --\nimages: [{name: backend, newTag: v1}]\n-- l --\nimages: [{name: backend, newName: r/backend}]\n",
			"r/backend:v1", backend, []string{"k #/images[name=backend]/newTag", "l #/images[name=backend]/newName"},
		}, {
			"a digest entry",
			"\n-- k --\nimages: [{name: r/b, digest: \"sha256:abc\"}]\n", "r/b@sha256:abc", backend, []string{"k #/images[name=r~1b]/digest"},
		}, {
			"a patch for the workload, and one for names of a pattern",
			"\n-- k --\npatches:\n- target: {kind: Deployment, name: back.*}\n  patch: |\n    - {op: replace, path: /spec/template/spec/containers/0/image, value: r/b:v1}\n" +
				"- target: {kind: Deployment, name: front.*}\n  patch: |\n    - {op: replace, path: /spec/template/spec/containers/0/image, value: r/b:v1}\n" +
				"\n-- a --\n" + deployment("backend", "", "r/b:v1"),
			"r/b:v1", backend, []string{
				"k #/patches[target=Deployment/back.*]/patch!#[path=~1spec~1template~1spec~1containers~10~1image]/value",
				"a Deployment/backend#/spec/template/spec/containers[name=app]/image",
			},
		}, {
			"Helm values in full",
			"\n-- v --\nimage: {repository: r/b, tag: v1}\nother: {image: {repository: r/c, tag: v1}}\n", "r/b:v1", backend,
			[]string{"v #/image/repository", "v #/image/tag"},
		}, {
			"Helm values whose registry the chart adds",
			"\n-- v --\nimage: {repository: acme/b, tag: v1}\nother: {image: {repository: acme/bb, tag: v1}}\n", "ghcr.io/acme/b:v1", backend,
			[]string{"v #/image/repository", "v #/image/tag"},
		}, {
			"the HelmRelease of the workload among others of the image",
			"\n-- a --\nkind: HelmRelease\nmetadata: {name: backend}\nspec: {values: {image: {repository: r/b, tag: v1}}}\n" +
				"---\nkind: HelmRelease\nmetadata: {name: worker}\nspec: {values: {image: {repository: r/b, tag: v1}}}\n",
			"r/b:v1", Target{Kind: "Deployment", Name: "backend-app"}, []string{"a HelmRelease/backend#/spec/values/image/repository", "a HelmRelease/backend#/spec/values/image/tag"},
		}, {
			"of a HelmRelease nothing that another one or no chart applies, whatever the workload is called",
			"\n-- a --\nkind: HelmRelease\nmetadata: {name: web, namespace: production}\nspec: {values: {image: {repository: r/b, tag: v1}}}\n" +
				"---\nkind: HelmRelease\nmetadata: {name: backend, namespace: production}\nspec: {values: {image: {repository: r/b, tag: v1}}}\n" +
				"---\nkind: ConfigMap\nmetadata: {name: values, namespace: production}\ndata: {image: \"r/b:v1\"}\n" +
				"\n-- b --\n" + deployment("backend", "production", "r/b:v1"),
			"r/b:v1", Target{Namespace: "team-a", Kind: "Deployment", Name: "backend", Release: Object{Kind: "HelmRelease", Namespace: "team-a", Name: "web"}}, nil,
		}, {
			"what a HelmRelease changes of what its chart makes",
			"\n-- a --\nkind: HelmRelease\nmetadata: {name: web}\nspec:\n  postRenderers:\n  - kustomize:\n      patches:\n" +
				"      - target: {kind: Deployment, name: backend}\n        patch: |\n          - {op: replace, path: /spec/template/spec/containers/0/image, value: r/b:v1}\n",
			"r/b:v1", Target{Namespace: "team-a", Kind: "Deployment", Name: "backend", Release: Object{Kind: "HelmRelease", Namespace: "team-a", Name: "web"}},
			[]string{"a HelmRelease/web#/spec/postRenderers[0]/kustomize/patches[target=Deployment/backend]/patch!#[path=~1spec~1template~1spec~1containers~10~1image]/value"},
		}, {
			"the values of the HelmRelease that made the workload, however that is called",
			"\n-- a --\nkind: HelmRelease\nmetadata: {name: web}\nspec: {values: {image: {repository: r/b, tag: v1}}}\n" +
				"---\nkind: HelmRelease\nmetadata: {name: other}\nspec: {values: {image: {repository: r/b, tag: v1}}}\n" +
				"\n-- v --\nimage: {repository: r/b, tag: v1}\n",
			"r/b:v1", Target{Namespace: "team-a", Kind: "Deployment", Name: "backend", Release: Object{Kind: "HelmRelease", Namespace: "team-a", Name: "team-web"}},
			[]string{"a HelmRelease/web#/spec/values/image/repository", "a HelmRelease/web#/spec/values/image/tag", "v #/image/repository", "v #/image/tag"},
		}, {
			"a lone tag where it is the only one",
			"\n-- v --\nimage: {tag: v1}\nother: {image: {tag: v2}}\n", "r/b:v1", backend, []string{"v #/image/tag"},
		}, {
			"a lone tag to which the image's name leads",
			"\n-- v --\nfrontend: {image: {tag: v1}}\nbackend: {image: {tag: v1}}\n", "r/backend:v1", Target{Container: "app"}, []string{"v #/backend/image/tag"},
		}, {
			"lone tags of one policy",
			"\n-- v --\na: v1 # {\"$imagepolicy\": \"n:p:tag\"}\nb: {c: v1} # x\nd: v1 # {\"$imagepolicy\": \"n:p:tag\"}\n", "r/b:v1", backend, []string{"v #/a", "v #/d"},
		}, {
			"none of several lone tags: a false blame is worse than none",
			"\n-- v --\nx: {image: {tag: v1}}\ny: {image: {tag: v1}}\n", "r/b:v1", backend, nil,
		}, {
			"a name typed wrong over a tag that is elsewhere",
			"\n-- base --\n" + deployment("backend", "", "b:v1") + "\n-- k --\nimages: [{name: b, newName: r/typo}]\n", "r/typo:v1", backend, []string{"k #/images[name=b]/newName"},
		}, {
			"Docker Hub in other words",
			"\n-- a --\n" + deployment("backend", "", "nginx:1") + "\n-- b --\n" + deployment("backend", "", "nginx:2"), "docker.io/library/nginx:1", backend,
			[]string{"a Deployment/backend#/spec/template/spec/containers[name=app]/image"},
		}, {
			"an image without a tag",
			"\n-- a --\n" + deployment("backend", "", "r/typo"), "r/typo", backend, []string{"a Deployment/backend#/spec/template/spec/containers[name=app]/image"},
		}, {
			"no tag of another repository",
			"\n-- v --\nimage: {repository: acme/web, tag: v1}\n", "acme/b:v1", backend, nil,
		}, {
			"nothing for no image",
			"\n-- v --\nimage: {repository: \"\", tag: \"\"}\n", "", backend, nil,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, n := range Match(tree(t, tc.files), tc.image, tc.at) {
				got = append(got, n.File+" "+n.Pointer)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestReferenceTakesTheRestFromTheBase(t *testing.T) {
	node := func(part Part, value string) Node { return Node{Part: part, Value: value} }
	for _, tc := range []struct {
		name  string
		group []Node
		base  string
		want  string
		ok    bool
	}{
		{"a whole image", []Node{node(PartImage, "a:v1")}, "b:v2@sha256:x", "a:v1", true},
		{"a lone tag", []Node{node(PartTag, "v1")}, "r:5000/b:v2@sha256:x", "r:5000/b:v1", true},
		{"a lone digest", []Node{node(PartDigest, "sha256:y")}, "r/b:v2", "r/b@sha256:y", true},
		{"a lone digest after a tag", []Node{node(PartDigest, "sha256:y")}, "r/b:v2@sha256:x", "r/b:v2@sha256:y", true},
		{"a lone name", []Node{node(PartName, "r/c")}, "r/b:v2", "r/c:v2", true},
		{"an empty digest beside a tag", []Node{node(PartRepository, "r/b"), node(PartTag, "v1"), node(PartDigest, "")}, "", "r/b:v1", true},
		{"an empty tag: the chart's", []Node{node(PartRepository, "r/b"), node(PartTag, "")}, "r/b:v2", "r/b:v2", true},
		{"a registry", []Node{node(PartRegistry, "r:5000"), node(PartRepository, "b"), node(PartTag, "v1")}, "", "r:5000/b:v1", true},
		{"a registry that the repository repeats", []Node{node(PartRegistry, "r"), node(PartRepository, "r/b"), node(PartTag, "v1")}, "", "r/b:v1", true},
		{"a lone tag without base", []Node{node(PartTag, "v1")}, "", ":v1", false},
		{"nothing", nil, "", "", false},
		{"an empty image", []Node{node(PartImage, "")}, "", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, ok := Reference(tc.group, tc.base); got != tc.want || ok != tc.ok {
				t.Errorf("%q, %v; want %q, %v", got, ok, tc.want, tc.ok)
			}
		})
	}
}

func TestSplit(t *testing.T) {
	for image, want := range map[string][3]string{
		"nginx":                       {"nginx", "", ""},
		"localhost:5000/a/b":          {"localhost:5000/a/b", "", ""},
		"localhost:5000/a/b:v1":       {"localhost:5000/a/b", "v1", ""},
		"a/b@sha256:00":               {"a/b", "", "sha256:00"},
		"localhost:5000/b:v1@sha256:": {"localhost:5000/b", "v1", "sha256:"},
		"":                            {},
	} {
		repository, tag, digest := Split(image)
		if got := [3]string{repository, tag, digest}; got != want {
			t.Errorf("Split(%q) = %q, want %q", image, got, want)
		}
	}
}

func TestMayHoldNeverOverlooksAMatch(t *testing.T) {
	for _, tc := range []struct {
		data, image string
		want        bool
	}{
		{"image: r/b:v1", "r/b:v1", true},
		{"tag: v1", "r/b:v1", true},
		{"newName: r/typo", "r/typo:v1", true},
		{"digest: sha256:abc", "r/b:v1@sha256:abc", true},
		{"image: \"r/\\x62:\\u0076\"", "r/zz:v9", true},
		{"image: \"r/z\\\n  z:v\\\n  9\"", "r/zz:v9", true},
		{"image: other:v2", "r/b:v1", false},
		{"regex: \"a\\\\.b\\\"\"", "r/zz:v9", false},
	} {
		if got := MayHold([]byte(tc.data), tc.image); got != tc.want {
			t.Errorf("MayHold(%q, %q) = %v", tc.data, tc.image, got)
		}
	}
}
