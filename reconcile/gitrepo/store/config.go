package store

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/memfs"
	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-billy/v5/util"
	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing/cache"
	format "github.com/go-git/go-git/v5/plumbing/format/config"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/filesystem/dotgit"
)

// openPlain opens a repository. A bare one is only found as itself, a clone from any folder in it.
func openPlain(dir string) (*gogit.Repository, error) {
	repo, err := gogit.PlainOpenWithOptions(dir, &gogit.PlainOpenOptions{EnableDotGitCommonDir: true})
	if errors.Is(err, gogit.ErrRepositoryNotExists) {
		within := &gogit.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true}
		repo, err = gogit.PlainOpenWithOptions(dir, within)
	}
	return repo, err
}

// openLenient opens a repository that go-git does not open for the text of its configuration: git takes any bytes
// there, such as a name in Latin-1, and go-git UTF-8 alone; and git knows extensions that say nothing of what is read
// here. why is what it said.
func openLenient(dir string, why error) (*gogit.Repository, error) {
	out, err := exec.Command("git", "-C", dir, "rev-parse", "--absolute-git-dir", "--git-common-dir").Output()
	var said *exec.ExitError
	if errors.As(err, &said) {
		return nil, fmt.Errorf("%w; git says: %s", why, shown(strings.TrimSpace(string(said.Stderr))))
	}
	lines := strings.Split(string(out), "\n")
	if err != nil || len(lines) < 2 {
		return nil, why
	}
	common := lines[1]
	if !filepath.IsAbs(common) {
		common = filepath.Join(dir, common)
	}
	both := osfs.New(common)
	data, err := util.ReadFile(both, "config")
	if err != nil {
		return nil, why
	}
	text := bytes.ToValidUTF8(data, []byte("\uFFFD"))
	cfg, err := config.ReadConfig(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read its configuration, %s: line %w", shown(filepath.Join(common, "config")), err)
	}
	without, err := withoutExtensions(cfg)
	if err != nil || without == nil && utf8.Valid(data) {
		return nil, why
	}
	if without != nil {
		text = without
	}
	files := dotgit.NewRepositoryFilesystem(osfs.New(lines[0]), both)
	storage := filesystem.NewStorage(withConfig{files, text}, cache.NewObjectLRU(cacheSize))
	return gogit.Open(storage, nil)
}

// harmless are extensions of git that change nothing of what Backstop reads: a sparse checkout has the first.
var harmless = map[string]bool{
	"worktreeconfig": true, "partialclone": true, "preciousobjects": true, "relativeworktrees": true,
}

// withoutExtensions is the text of a configuration without the harmless extensions; nil where it has none.
func withoutExtensions(cfg *config.Config) ([]byte, error) {
	section, found := cfg.Raw.Section("extensions"), false
	for _, o := range slices.Clone(section.Options) {
		if harmless[strings.ToLower(o.Key)] {
			section.RemoveOption(o.Key)
			found = true
		}
	}
	if !found {
		return nil, nil
	}
	// go-git's own Marshal adds an extension that go-git refuses.
	var out bytes.Buffer
	if err := format.NewEncoder(&out).Encode(cfg.Raw); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// withConfig is the files of a repository with another text of its configuration.
type withConfig struct {
	billy.Filesystem
	config []byte
}

// Open implements billy.Basic.
func (f withConfig) Open(name string) (billy.File, error) {
	if name != "config" {
		return f.Filesystem.Open(name)
	}
	m := memfs.New()
	if err := util.WriteFile(m, name, f.config, 0o600); err != nil {
		return nil, fmt.Errorf("hold the configuration: %w", err)
	}
	return m.Open(name)
}
