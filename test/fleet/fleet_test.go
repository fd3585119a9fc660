package fleet_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/test/fleet"
)

func TestEveryAppRunsAnImageThatItsPolicyWouldSelect(t *testing.T) {
	f := fleet.New(fleet.Options{Name: "acme", GitURL: "http://127.0.0.1:1/fleet.git", Registry: "127.0.0.1:2"})
	for _, env := range f.Environments {
		for _, app := range f.Apps {
			var d struct {
				Metadata struct{ Namespace, Name string }
				Spec     struct {
					Template struct {
						Spec struct{ Containers []struct{ Image string } }
					}
				}
			}
			if err := yaml.Unmarshal([]byte(f.Files[f.File(env, app)]), &d); err != nil {
				t.Fatal(err)
			}
			if d.Metadata.Namespace != "acme-"+env || d.Metadata.Name != app {
				t.Errorf("%s/%s: the manifest is of %+v", env, app, d.Metadata)
			}
			policy := fleet.Get[*reflectorv1.ImagePolicy](f, f.Namespace(env), app)
			if policy == nil {
				t.Fatalf("%s/%s has no policy", env, app)
			}
			_, tag, _ := strings.Cut(strings.TrimPrefix(d.Spec.Template.Spec.Containers[0].Image, f.Registry), ":")
			accepts := regexp.MustCompile(policy.Spec.FilterTags.Pattern)
			for _, other := range f.Environments {
				if got := accepts.MatchString(fleet.Tag(other, 0)); got != (other == env) {
					t.Errorf("the policy of %s accepts a tag of %s: %v", env, other, got)
				}
			}
			if !accepts.MatchString(tag) {
				t.Errorf("the policy of %s/%s does not accept %q", env, app, tag)
			}
		}
	}
}

func TestAPersonWritesPullsAndReverts(t *testing.T) {
	ctx := t.Context()
	repo := filepath.Join(t.TempDir(), "fleet.git")
	if out, err := exec.Command("git", "init", "--quiet", "--bare", "--initial-branch=main", repo).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	person := func(name string) *fleet.Person {
		p, err := fleet.NewPerson(ctx, name, repo, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	alice := person("Alice")
	if err := alice.Write(map[string]string{"apps/a.yaml": "a: 1\n"}); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Push(ctx, "Begin"); err != nil {
		t.Fatal(err)
	}
	bob := person("Bob Builder")
	bad, err := bob.Change(ctx, "apps/a.yaml", "Two", func(s string) string { return strings.ReplaceAll(s, "1", "2") })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Revert(ctx, bad); err != nil {
		t.Fatal(err)
	}
	if _, err := bob.Change(ctx, "apps/a.yaml", "Nothing", func(s string) string { return s }); err == nil {
		t.Error("an edit that changes nothing was pushed")
	}
	log, err := bob.Git(ctx, "log", "--format=%an <%ae> %s")
	want := []string{`Alice <alice@example.com> Revert "Two"`, "Bob Builder <bob.builder@example.com> Two", "Alice <alice@example.com> Begin"}
	if diff := cmp.Diff(want, slices.Collect(strings.SplitSeq(log, "\n"))); diff != "" || err != nil {
		t.Error(diff, err)
	}
}
