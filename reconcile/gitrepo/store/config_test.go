package store

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigurationThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"a name in Latin-1":              {"[user]\n\tname = J\xf6rg\n", "has no commit yet"},
		"a sparse checkout":              {"[extensions]\n\tworktreeConfig = true\n", "has no commit yet"},
		"one, in the later format":       {"[core]\n\trepositoryformatversion = 1\n[extensions]\n\tworktreeConfig = true\n", "has no commit yet"},
		"an extension that nobody knows": {"[core]\n\trepositoryformatversion = 1\n[extensions]\n\trefStorage = other\n", "refstorage"},
		"no configuration":               {"[user\nname", "; git says: fatal: bad config line 6 in file .git/config"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if out, err := exec.Command("git", "init", "--quiet", dir).CombinedOutput(); err != nil {
				t.Fatal(err, string(out))
			}
			file := filepath.Join(dir, ".git", "config")
			was, err := os.ReadFile(file)
			if err == nil {
				err = os.WriteFile(file, append(was, c.text...), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir, ""); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("opened as %v, want %q", err, c.want)
			}
		})
	}
}
