package manifest

import (
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
)

// sourceIgnore is the file by which source-controller leaves files out of what Flux gets of a repository.
const sourceIgnore = ".sourceignore"

// SourceIgnore tells what the .sourceignore files of a tree leave out, as source-controller takes them: it holds each
// file against all patterns of the folders above, goes into every folder, and so takes a file in again ("!") whose
// folder is left out, which git does not. What the spec.ignore of a GitRepository leaves out stays: several of them may
// read one repository.
type SourceIgnore struct {
	// read gives the text of a file; it is empty where there is none.
	read func(name string) ([]byte, error)
	mu   sync.Mutex
	// folders are the patterns that count in a folder, those of the folders above included.
	folders map[string][]gitignore.Pattern
}

// NewSourceIgnore makes one that reads the files of a tree. It may be used from several goroutines.
func NewSourceIgnore(read func(name string) ([]byte, error)) *SourceIgnore {
	return &SourceIgnore{read: read, folders: map[string][]gitignore.Pattern{}}
}

// LeavesOut reports whether a pattern leaves a file or folder out. What is below such a folder may be there all the
// same.
func (s *SourceIgnore) LeavesOut(name string, folder bool) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	patterns, err := s.in(path.Dir(name))
	if err != nil || len(patterns) == 0 {
		return false, err
	}
	return gitignore.NewMatcher(patterns).Match(strings.Split(name, "/"), folder), nil
}

// in lists the patterns that count for what is in a folder.
func (s *SourceIgnore) in(dir string) ([]gitignore.Pattern, error) {
	if known, ok := s.folders[dir]; ok {
		return known, nil
	}
	var patterns []gitignore.Pattern
	var parts []string
	if dir != "." {
		var err error
		if patterns, err = s.in(path.Dir(dir)); err != nil {
			return nil, err
		}
		parts = strings.Split(dir, "/")
	}
	data, err := s.read(path.Join(dir, sourceIgnore))
	if err != nil {
		return nil, err
	}
	patterns = slices.Concat(patterns, IgnorePatterns(data, parts))
	s.folders[dir] = patterns
	return patterns, nil
}

// IgnorePatterns reads a file of patterns, a .gitignore or a .sourceignore, that stands in a folder.
func IgnorePatterns(data []byte, folder []string) []gitignore.Pattern {
	var patterns []gitignore.Pattern
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
			patterns = append(patterns, gitignore.ParsePattern(line, folder))
		}
	}
	return patterns
}
