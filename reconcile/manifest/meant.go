package manifest

import (
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// MeantFolder finds the folder that a path means in which variables are left that only a cluster knows: the one that
// says for each of them a word of the path of what renders it.
//
//	clusters/prod/01 renders a Kustomization with spec.path ./apps/${ENVIRONMENT}/${ID}: apps/prod/01
//
// It gives "" where no folder does, or several do: which one a cluster renders cannot be told then.
func MeantFolder(fsys fs.FS, name, by string) string {
	words := strings.Split(by, "/")
	meant := []meaning{{dir: ".", vars: map[string]string{}}}
	for _, segment := range strings.Split(Folder(name), "/") {
		var next []meaning
		for _, m := range meant {
			next = append(next, m.into(fsys, segment, words)...)
		}
		meant = next
	}
	if len(meant) != 1 || len(meant[0].vars) == 0 {
		return ""
	}
	return meant[0].dir
}

// meaning is a folder that the beginning of a path may mean, and what its variables are there.
type meaning struct {
	dir  string
	vars map[string]string
}

// into lists the folders below that a segment of the path may mean.
func (m meaning) into(fsys fs.FS, segment string, words []string) []meaning {
	names := plainVariable.FindAllStringSubmatch(segment, -1)
	if len(names) == 0 {
		dir := path.Join(m.dir, segment)
		if info, err := fs.Lstat(fsys, dir); err != nil || !info.IsDir() {
			return nil
		}
		return []meaning{{dir, m.vars}}
	}
	pattern := "^"
	rest := segment
	for _, found := range names {
		literal, after, _ := strings.Cut(rest, found[0])
		pattern, rest = pattern+regexp.QuoteMeta(literal)+"(.+)", after
	}
	re, err := regexp.Compile(pattern + regexp.QuoteMeta(rest) + "$")
	if err != nil {
		return nil
	}
	entries, err := fs.ReadDir(fsys, m.dir)
	if err != nil {
		return nil
	}
	var out []meaning
	for _, entry := range entries {
		values := re.FindStringSubmatch(entry.Name())
		if values == nil || !entry.IsDir() {
			continue
		}
		if vars, ok := m.with(names, values[1:], words); ok {
			out = append(out, meaning{path.Join(m.dir, entry.Name()), vars})
		}
	}
	return out
}

// with adds variables to those of a meaning. A variable has one value, and that is one of the words.
func (m meaning) with(names [][]string, values []string, words []string) (map[string]string, bool) {
	vars := maps.Clone(m.vars)
	for i, value := range values {
		known, ok := vars[names[i][1]]
		if !slices.Contains(words, value) || ok && known != value {
			return nil, false
		}
		vars[names[i][1]] = value
	}
	return vars, true
}
