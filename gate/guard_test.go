package gate_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/gate"
	"github.com/backstop-dev/backstop/gate/imagepolicy"
	"github.com/backstop-dev/backstop/test/registrystub"
)

func TestGateLatestInProduction(t *testing.T) {
	o := gate.Options{Config: config(t, "environments:\n  production: {paths: ['production/**'], immutable: true}\n")}
	for image, want := range map[string]bool{
		"app": true, "app:latest": true, "app:main": true, "app:v1-latest": true, "app:stable": true, "app:nightly-2024": true,
		"app:v1.2.3": false, "app:production-1700000100": false, "app:abcdefa": false,
		"app:latest@sha256:" + strings.Repeat("0", 64): false,
	} {
		o.Head = tree(map[string]string{
			"production/app.yaml": deployment("app", "ghcr.io/acme/"+image), "staging/app.yaml": deployment("app", "ghcr.io/acme/app:latest"),
		})
		got := check(t, o)
		if want {
			wantFindings(t, got, "error tag-mutable production/app.yaml:12")
			wantWords(t, got, "can move", "production")
			continue
		}
		wantFindings(t, got)
	}
}

func TestGateTagsDigestsAndRegistries(t *testing.T) {
	o := gate.Options{Config: config(t, `
environments:
  production: {paths: [production], tags: ^production-, digests: true, registries: [ghcr.io/acme]}
`)}
	digest := "@sha256:" + strings.Repeat("0", 64)
	o.Head = tree(map[string]string{
		"production/good.yaml":     deployment("good", "ghcr.io/acme/app:production-1"+digest),
		"production/digest.yaml":   deployment("digest", "ghcr.io/acme/app"+digest),
		"production/registry.yaml": deployment("registry", "app:production-1"+digest),
		"production/prefix.yaml":   deployment("prefix", "ghcr.io/acmeevil/app:production-1"+digest),
		"production/tag.yaml":      deployment("tag", "ghcr.io/acme/app:staging-1"+digest),
		"production/bare.yaml":     deployment("bare", "ghcr.io/acme/app:production-1"),
		"production/wrong.yaml":    deployment("wrong", "ghcr.io/Acme/app:production-1"+digest),
	})
	got := check(t, o)
	wantFindings(t, got, "error digest-required production/bare.yaml:12", "error registry-not-allowed production/prefix.yaml:12",
		"error registry-not-allowed production/registry.yaml:12", "error tag-not-allowed production/tag.yaml:12",
		"error image-invalid production/wrong.yaml:12")
	wantWords(t, got, "docker.io/library/app", "does not match ^production-", "must be lowercase")
}

// automation is the objects of image automation for one environment.
func automation(ns, pattern string) string {
	filter := ""
	if pattern != "" {
		filter = "\n  filterTags: {pattern: '" + pattern + "'}"
	}
	return `apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: app, namespace: ` + ns + `}
spec: {image: ghcr.io/acme/app, interval: 1m}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: app, namespace: ` + ns + `}
spec:
  imageRepositoryRef: {name: app}
  policy: {alphabetical: {order: asc}}` + filter + "\n"
}

const twoEnvironments = `
environments:
  production: {paths: [production], tags: ^production-v}
  staging: {paths: [staging], tags: '^staging-v[0-9]+'}
`

func TestGateProductionPolicyThatAcceptsStagingTags(t *testing.T) {
	tests := map[string]struct {
		pattern string
		want    []string
		words   []string
	}{
		"anchored":          {`^production-v(?P<v>.*)`, nil, nil},
		"open":              {`v[0-9]+`, []string{"error policy-accepts-other-environment production/image.yaml:12"}, []string{"staging-v0 matches", "'^production-v'"}},
		"alternation":       {`^(production|staging)-v`, []string{"error policy-accepts-other-environment production/image.yaml:12"}, []string{"staging-v0 matches"}},
		"anything":          {`.*`, []string{"error policy-accepts-other-environment production/image.yaml:12"}, []string{"staging-v0 matches"}},
		"a tail that bites": {`-v[0-9]+-[a-f]{2}$`, []string{"error policy-accepts-other-environment production/image.yaml:12"}, []string{"staging-v0-aa matches"}},
		"no pattern":        {``, []string{"error policy-without-pattern production/image.yaml:6"}, []string{"selects from all tags", "filterTags.pattern"}},
		"no expression":     {`(`, []string{"error policy-without-pattern production/image.yaml:12"}, []string{"no regular expression"}},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			got := check(t, gate.Options{Config: config(t, twoEnvironments), Head: tree(map[string]string{
				"production/image.yaml": automation("production", tt.pattern), "staging/image.yaml": automation("staging", "^staging-v"),
			})})
			wantFindings(t, got, tt.want...)
			wantWords(t, got, tt.words...)
		})
	}
}

func TestGateMarkerOfAnotherEnvironment(t *testing.T) {
	marked := func(policy string) string {
		return strings.Replace(deployment("app", "ghcr.io/acme/app:production-v1"), "production-v1",
			`production-v1 # {"$imagepolicy": "`+policy+`"}`, 1)
	}
	tests := map[string]struct {
		policy string
		want   []string
		words  []string
	}{
		"own":     {"production:app", nil, nil},
		"other":   {"staging:app", []string{"error marker-other-environment production/app.yaml:12"}, []string{"of staging, but the file is of production"}},
		"unknown": {"production:ap", []string{"error marker-unknown-policy production/app.yaml:12"}, []string{"nowhere in the repository", "production:app, staging:app"}},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			got := check(t, gate.Options{Config: config(t, twoEnvironments), Head: tree(map[string]string{
				"production/image.yaml": automation("production", "^production-v"), "staging/image.yaml": automation("staging", "^staging-v"),
				"production/app.yaml": marked(tt.policy),
			})})
			wantFindings(t, got, tt.want...)
			wantWords(t, got, tt.words...)
		})
	}
}

func TestGateAutomationThatCoversAnotherEnvironment(t *testing.T) {
	update := func(path string) string {
		return "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageUpdateAutomation\nmetadata: {name: all, namespace: staging}\nspec:\n" +
			"  sourceRef: {kind: GitRepository, name: flux-system}\n  interval: 1m\n  update:\n    path: " + path + "\n"
	}
	for path, want := range map[string][]string{
		"./staging": nil, "./": {"error automation-covers-other-environment staging/auto.yaml:8"},
		"./production": {"error automation-covers-other-environment staging/auto.yaml:8"},
		// As image automation reads it: no path leads out of the repository.
		"../../production": {"error automation-covers-other-environment staging/auto.yaml:8"},
	} {
		got := check(t, gate.Options{Config: config(t, twoEnvironments), Head: tree(map[string]string{
			"staging/auto.yaml": update(path), "staging/image.yaml": automation("staging", "^staging-v"),
			"production/image.yaml": automation("production", "^production-v"),
			"production/app.yaml":   strings.Replace(deployment("app", "a/app:production-v1"), "production-v1", `production-v1 # {"$imagepolicy": "production:app"}`, 1),
		})})
		wantFindings(t, got, want...)
	}
}

func TestGateUnknownKeyInBackstopYAML(t *testing.T) {
	for text, want := range map[string]string{
		"platforms: [linux/amd64]\nplatfroms: []\n":                           `.backstop.yaml:2: unknown key "platfroms": want one of environments, ignore, platforms, remoteBases`,
		"environments:\n  production:\n    path: [a]\n":                       `.backstop.yaml:3: environments.production: unknown key "path": want one of digests`,
		"environments:\n  production:\n    paths: [a]\n    tags: '('\n":       `.backstop.yaml:4: environments.production.tags: "(" is no regular expression`,
		"environments:\n  production:\n    paths: [/abs]\n":                   `.backstop.yaml:3: environments.production.paths: "/abs" is no path from the root`,
		"environments:\n  production:\n    paths: [a]\n    promotedFrom: x\n": `.backstop.yaml:4: environments.production.promotedFrom: there is no environment "x"`,
		"environments:\n  a: {promotedFrom: b}\n  b: {}\n":                    `environments.a.promotedFrom: environment b has no tags pattern`,
		"environments:\n  a:\n":                                               `.backstop.yaml:2: environments.a is empty`,
		"ignore: [../x]\n":                                                    `.backstop.yaml:1: ignore: "../x" is no path`,
		"environments: [a]\n":                                                 `.backstop.yaml:1: environments: want a mapping`,
		"environments:\n  a: {paths: a}\n":                                    `.backstop.yaml:2: environments.a.paths: "a" is no list: write [a]`,
		"environments:\n  a: {paths: []}\n":                                   `.backstop.yaml:2: environments.a.paths: the list is empty`,
		"environments:\n  a: {paths: ['']}\n":                                 `.backstop.yaml:2: environments.a.paths: "" is empty`,
		"environments:\n  a: {paths: [[b]]}\n":                                `.backstop.yaml:2: environments.a.paths: a list: want text`,
		"environments:\n  a: {immutable: true}\n":                             `.backstop.yaml:2: environments.a.paths: there are none`,
		"environments:\n  a: {paths: [a], immutable: maybe}\n":                `.backstop.yaml:2: environments.a.immutable: "maybe": want true or false`,
		"environments:\n  a: {paths: [a], tags: {b: c}}\n":                    `.backstop.yaml:2: environments.a.tags: a mapping: want text`,
		"environments:\n  a: {paths: [a], registries: ['https://b']}\n":       `.backstop.yaml:2: environments.a.registries: "https://b" is no registry: leave the scheme out`,
		"platforms: [amd64]\n":                                                `.backstop.yaml:1: platforms: "amd64" is no platform: write os/arch`,
		"remoteBases:\n- a/\n- ''\n":                                          `.backstop.yaml:3: remoteBases: "" is empty`,
		"environments: {}\n---\nenvironments: {a: {paths: [a]}}\n":            `.backstop.yaml:2: there is a second document`,
		"a: [\n": `.backstop.yaml: line`,
	} {
		_, err := gate.ParseConfig(".backstop.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{
		"", "{}", "---\n", "platforms:\n", "environments:\n  a: {paths: [a], promotedFrom: b}\n  b: {tags: ^b}\n",
		"environments:\n  a: &a {paths: [a]}\n  b: {<<: *a, tags: b}\n",
	} {
		if _, err := gate.ParseConfig(".backstop.yaml", []byte(text)); err != nil {
			t.Errorf("%q gives %v", text, err)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(twoEnvironments))
	f.Add([]byte("environments: {a: {paths: ['**/x?*é'], tags: '[a-', promotedFrom: a}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := gate.ParseConfig("x", data)
		if err == nil && c == nil {
			t.Error("neither a configuration nor an error")
		}
		if err != nil && !strings.HasPrefix(err.Error(), "x:") {
			t.Errorf("the error does not name the file: %v", err)
		}
	})
}

func TestWitnessOfPatternsThatBeginInTheMiddle(t *testing.T) {
	for _, pattern := range []string{`-v.*-(?P<ts>[0-9]+)$`, `\.rc$`, `-`} {
		example, ok := imagepolicy.Witness("", pattern)
		if !ok || !regexp.MustCompile(pattern).MatchString(example) || strings.ContainsAny(example[:1], "-.") {
			t.Errorf("%s: %q, %v", pattern, example, ok)
		}
	}
}

func FuzzWitness(f *testing.F) {
	f.Add("^production-", "-v[0-9]+$", "^staging-")
	f.Add("", `\bv1\b`, "(a|b)*c")
	f.Add("x", "^$", "")
	f.Fuzz(func(t *testing.T, own, a, b string) {
		if len(own)+len(a)+len(b) > 60 {
			return
		}
		example, ok := imagepolicy.Witness(own, a, b)
		if !ok {
			return
		}
		for _, pattern := range []string{a, b} {
			if !regexp.MustCompile(pattern).MatchString(example) {
				t.Errorf("%q does not match %q", example, pattern)
			}
		}
		if own != "" && regexp.MustCompile(own).MatchString(example) {
			t.Errorf("%q matches %q", example, own)
		}
	})
}

func TestGateATagOfTheRegistryDecides(t *testing.T) {
	const environments = `
environments:
  production: {paths: [production], tags: ^v}
  staging: {paths: [staging], tags: '^build-'}
`
	policy := func(r *registrystub.Registry, extract, rule string) string {
		return `apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: app, namespace: production}
spec: {image: ` + r.Host() + `/app, interval: 1m}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: app, namespace: production}
spec:
  imageRepositoryRef: {name: app}
  policy: {` + rule + `}
  filterTags: {pattern: '-(?P<a>[a-z0-9.]+)-(?P<b>[a-z0-9.]+)$', extract: '` + extract + `'}
`
	}
	tests := map[string]struct {
		extract, rule string
		tags          []string
		down          bool
		want          []string
		words         []string
	}{
		"a real tag": {"$a.$b", "semver: {range: '>=7.3.0'}", []string{"v1", "build-7-2.9", "build-7-3.1", "build-x-y"}, false,
			[]string{"error policy-accepts-other-environment production/image.yaml:12"}, []string{"build-7-3.1, which 127.0.0.1"}},
		"no such tag": {"$a.$b", "semver: {range: '>=7.3.0 <7.3.1 !=7.3.0'}", []string{"v1", "build-x-y"}, false, nil, nil},
		"an example that is generated": {"$b", "semver: {range: '>=7.3.0'}", []string{"v1"}, false,
			[]string{"error policy-accepts-other-environment production/image.yaml:12"}, []string{"build-0-7.3.0 matches"}},
		"no answer": {"$a$b", "semver: {range: '>=7.3.0 <7.3.1 !=7.3.0'}", []string{"v1"}, true,
			[]string{"unknown registry-no-answer production/image.yaml:4", "unknown registry-no-answer production/image.yaml:12"},
			[]string{"cannot tell whether ImagePolicy production:app of production accepts tags of staging"}},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			r := stub(t, registrystub.Options{})
			for _, name := range tt.tags {
				push(t, r, "app", name)
			}
			if tt.down {
				r.Fail("/v2/app/tags/", registrystub.Status(500))
			}
			o := asking(r, false)
			o.Config = config(t, environments)
			o.Head = tree(map[string]string{"production/image.yaml": policy(r, tt.extract, tt.rule)})
			got := check(t, o)
			wantFindings(t, got, tt.want...)
			wantWords(t, got, tt.words...)
			if n := r.Count("GET", "/v2/app/tags/"); n > 1 {
				t.Errorf("the tags were listed %d times", n)
			}
			o.Base = o.Head
			wantFindings(t, check(t, asked(o, asking(r, false))))
		})
	}
}

func TestGateARangeThatLeavesCandidatesOut(t *testing.T) {
	const environments = `
environments:
  production: {paths: [production], tags: '^v[0-9.]+$'}
  staging: {paths: [staging], tags: '-rc\.'}
`
	for within, want := range map[string][]string{
		">=1.0.0":   nil,
		">=1.0.0-0": {"error policy-accepts-other-environment production/image.yaml:12"},
	} {
		image := strings.Replace(automation("production", "^v"), "alphabetical: {order: asc}", "semver: {range: '"+within+"'}", 1)
		got := check(t, gate.Options{Config: config(t, environments), Head: tree(map[string]string{"production/image.yaml": image})})
		wantFindings(t, got, want...)
	}
}

func TestRegistryIsAllowedByAnyOfItsNames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		image, allowed string
		want           bool
	}{
		"the port of HTTPS in the image":       {"a.example.org:443/x:1", "a.example.org", true},
		"the port of HTTPS in what is allowed": {"a.example.org/acme/x:1", "a.example.org:443/acme", true},
		"another port":                         {"a.example.org:5000/x:1", "a.example.org", false},
		"another port in what is allowed":      {"a.example.org/x:1", "a.example.org:5000", false},
		"a name of Docker Hub":                 {"acme/x:1", "index.docker.io", true},
		"a name of Docker Hub in the image":    {"registry.hub.docker.com/acme/x:1", "docker.io/acme", true},
		"its library":                          {"nginx:1", "registry-1.docker.io/library", true},
		"another folder of Docker Hub":         {"acme/x:1", "docker.io/library", false},
		"upper-case letters":                   {"a.example.org/x:1", "A.example.org", true},
		"a host that begins alike":             {"a.example.org.evil.example/x:1", "a.example.org", false},
		"a folder that begins alike":           {"a.example.org/acme-evil/x:1", "a.example.org/acme", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := gate.Options{Config: config(t, "environments:\n  production: {paths: ['**'], registries: ['"+c.allowed+"']}\n")}
			o.Head = tree(map[string]string{"d.yaml": deployment("web", c.image)})
			var want []string
			if !c.want {
				want = []string{"error registry-not-allowed d.yaml:12"}
			}
			wantFindings(t, check(t, o), want...)
		})
	}
}
