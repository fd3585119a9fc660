package workflows_test

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// dependabot is the part of Dependabot's schema that is used here: a key that it does not have is a typing error.
type dependabot struct {
	Version int
	Updates []struct {
		Ecosystem   string `yaml:"package-ecosystem"`
		Directory   string
		Directories []string
		Schedule    struct{ Interval string }
		Cooldown    struct {
			Days int `yaml:"default-days"`
		}
		Groups map[string]struct{ Patterns []string }
	}
}

// manifests say by which file each ecosystem knows a folder, as git has it.
var manifests = map[string][]string{
	"gomod":          {"go.mod", "**/go.mod"},
	"docker":         {"Dockerfile", "**/Dockerfile"},
	"github-actions": {"action.yml", "**/action.yml", "action.yaml", "**/action.yaml"},
}

// TestDependabotLooksAtEverythingThatIsPinned reads its configuration strictly, and compares the folders that it is
// told to look at with those that there are.
func TestDependabotLooksAtEverythingThatIsPinned(t *testing.T) {
	file, err := os.Open(filepath.Join(root, ".github", "dependabot.yml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	in := yaml.NewDecoder(file)
	in.KnownFields(true)
	var d dependabot
	if err := in.Decode(&d); err != nil {
		t.Fatal(err)
	}
	if d.Version != 2 || len(d.Updates) != len(manifests) {
		t.Errorf("version %d with %d ecosystems, want 2 with %d", d.Version, len(d.Updates), len(manifests))
	}
	for _, u := range d.Updates {
		files, known := manifests[u.Ecosystem]
		if !known {
			t.Errorf("%q is an ecosystem that nothing here is of", u.Ecosystem)
			continue
		}
		if !slices.Contains([]string{"daily", "weekly", "monthly"}, u.Schedule.Interval) {
			t.Errorf("%s: interval %q", u.Ecosystem, u.Schedule.Interval)
		}
		// What was published a moment ago may be withdrawn as fast.
		if u.Cooldown.Days < 7 {
			t.Errorf("%s: a cooldown of %d days, want 7 or more", u.Ecosystem, u.Cooldown.Days)
		}
		for name, g := range u.Groups {
			if len(g.Patterns) == 0 {
				t.Errorf("%s: group %s has no patterns", u.Ecosystem, name)
			}
		}
		told := u.Directories
		if u.Directory != "" {
			told = append(told, u.Directory)
		}
		want := folders(t, files...)
		if u.Ecosystem == "github-actions" {
			want = append(want, "/") // stands for .github/workflows
		}
		slices.Sort(told)
		slices.Sort(want)
		if !slices.Equal(told, want) {
			t.Errorf("%s looks at %q, want %q", u.Ecosystem, told, want)
		}
	}
}

// folders are those that have a file of a name, from the root of the repository.
func folders(t *testing.T, patterns ...string) []string {
	t.Helper()
	args := []string{"-C", root, "ls-files", "--"}
	for _, p := range patterns {
		args = append(args, ":(glob)"+p)
	}
	out, err := exec.CommandContext(t.Context(), "git", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for _, file := range strings.Fields(string(out)) {
		dirs = append(dirs, path.Join("/", path.Dir(file)))
	}
	return dirs
}
