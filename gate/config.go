package gate

import (
	"bytes"
	_ "embed" // the schema
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/gate/sources"
)

// ConfigFile is the name of the file that holds the guardrails.
const ConfigFile = ".backstop.yaml"

// misnamed is what people call that file too. Nobody reads it.
const misnamed = ".backstop.yml"

// Schema is the JSON schema of ConfigFile.
//
//go:embed backstop.schema.json
var Schema string

// Config is what .backstop.yaml says.
type Config struct {
	// Platforms that every image must run on, as os/arch.
	Platforms []string `yaml:"platforms"`
	// RemoteBases are the beginnings of addresses that kustomizations may refer to, such as github.com/acme/.
	RemoteBases []string `yaml:"remoteBases"`
	// Ignore are globs of paths that are not looked at.
	Ignore []string `yaml:"ignore"`
	// Environments by name.
	Environments map[string]*Environment `yaml:"environments"`

	file string
	// lines are those of paths and ignore, by glob.
	lines map[string]int
	// found means that it was looked for, and not named.
	found bool
}

// Environment is the guardrails of some paths.
type Environment struct {
	// Paths are globs; ** stands for any number of folders.
	Paths []string `yaml:"paths"`
	// Tags is the pattern that every tag must fit, a regular expression as in an ImagePolicy.
	Tags string `yaml:"tags"`
	// Immutable refuses latest and every tag without a version.
	Immutable bool `yaml:"immutable"`
	// Digests must be there.
	Digests bool `yaml:"digests"`
	// Registries allowed, with or without a path.
	Registries []string `yaml:"registries"`
	// PromotedFrom is the environment in which the very same image must have a tag.
	PromotedFrom string `yaml:"promotedFrom"`

	name  string
	tags  *regexp.Regexp
	paths []*regexp.Regexp
}

// FindConfig reads the .backstop.yaml of a folder of a tree, or of the nearest folder above that has one. Without one
// there are no guardrails.
func FindConfig(fsys fs.FS, dir string) (*Config, error) {
	for {
		name := path.Join(dir, ConfigFile)
		data, err := sources.ReadFile(fsys, name, 1<<20)
		switch {
		case err == nil:
			c, err := ParseConfig(name, data)
			if c != nil {
				c.found = true
			}
			return c, err
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
		if _, err := fs.Lstat(fsys, path.Join(dir, misnamed)); err == nil {
			return nil, fmt.Errorf("%s is not read: guardrails are in %s: rename it", path.Join(dir, misnamed), ConfigFile)
		}
		if dir == "." {
			return &Config{found: true}, nil
		}
		dir = path.Dir(dir)
	}
}

// ParseConfig reads a .backstop.yaml. An error names the line, the key and what to do.
func ParseConfig(name string, data []byte) (*Config, error) {
	c := &Config{file: name}
	var root, more yaml.Node
	parts := yaml.NewDecoder(bytes.NewReader(data))
	if err := parts.Decode(&root); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := parts.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s:%d: there is a second document, which nobody would read: make them one", name,
			max(more.Line, root.Line))
	}
	if len(root.Content) == 1 {
		if at, words := configShape().misfit(root.Content[0], ""); words != "" {
			return nil, fmt.Errorf("%s:%d: %s", name, at, words)
		}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %s", name, schemaWords(err))
	}
	line := func(keys ...string) int {
		if len(root.Content) == 0 {
			return 1
		}
		o := sources.Object{Text: root.Content[0]}
		for len(keys) > 0 && o.LineOf(keys...) == 0 {
			keys = keys[:len(keys)-1]
		}
		return max(o.LineOf(keys...), 1)
	}
	c.lines = globLines(&root)
	for _, env := range slices.Sorted(maps.Keys(c.Environments)) {
		if err := c.compile(env, line); err != nil {
			return nil, err
		}
	}
	for _, glob := range c.Ignore {
		if _, err := globPattern(glob); err != nil {
			return nil, fmt.Errorf("%s:%d: ignore: %w", name, line("ignore"), err)
		}
	}
	return c, nil
}

// compile reads the patterns of an environment.
func (c *Config) compile(name string, line func(...string) int) error {
	e := c.Environments[name]
	fail := func(key, format string, args ...any) error {
		at := line("environments", name, key)
		return fmt.Errorf("%s:%d: environments.%s.%s: %s", c.file, at, name, key, fmt.Sprintf(format, args...))
	}
	if e == nil {
		return fmt.Errorf("%s:%d: environments.%s is empty: give it paths", c.file, line("environments", name), name)
	}
	e.name = name
	var err error
	if e.tags, err = regexp.Compile(e.Tags); err != nil {
		return fail("tags", "%q is no regular expression: %v", e.Tags, err)
	}
	for _, glob := range e.Paths {
		re, err := globPattern(glob)
		if err != nil {
			return fail("paths", "%v", err)
		}
		e.paths = append(e.paths, re)
	}
	if e.PromotedFrom == "" {
		if len(e.Paths) == 0 && !slices.Contains(c.sources(), name) {
			return fail("paths", "there are none, so that it guards nothing: give it paths")
		}
		return nil
	}
	from := c.Environments[e.PromotedFrom]
	switch {
	case from == nil:
		return fail("promotedFrom", "there is no environment %q: name one of %s", e.PromotedFrom,
			strings.Join(slices.Sorted(maps.Keys(c.Environments)), ", "))
	case e.PromotedFrom == name:
		return fail("promotedFrom", "an environment cannot be promoted from itself")
	case from.Tags == "":
		return fail("promotedFrom", "environment %s has no tags pattern: give it one, such as ^%s-",
			e.PromotedFrom, e.PromotedFrom)
	case len(e.Paths) == 0:
		return fail("paths", "there are none, so that it guards nothing: give it paths")
	}
	return nil
}

// schemaWords makes one sentence of the decoder's.
func schemaWords(err error) string {
	var wrong *yaml.TypeError
	if !errors.As(err, &wrong) || len(wrong.Errors) == 0 {
		return strings.TrimPrefix(err.Error(), "yaml: ")
	}
	return wrong.Errors[0]
}

// globPattern reads a glob: ** is any number of folders, * any text within one, ? one character.
func globPattern(glob string) (*regexp.Regexp, error) {
	// A folder may be written with a slash at its end, as in CODEOWNERS and .gitignore, and at its beginning in neither.
	glob = strings.TrimRight(strings.TrimPrefix(glob, "./"), "/")
	if glob == "" || strings.HasPrefix(glob, "/") || slices.Contains(strings.Split(glob, "/"), "..") {
		return nil, fmt.Errorf("%q is no path from the root of the repository", glob)
	}
	var b strings.Builder
	b.WriteString("(?s)^") // A path may have a new line in it.
	for rest := glob; rest != ""; {
		switch {
		case strings.HasPrefix(rest, "**/"):
			b.WriteString("(?:.*/)?")
			rest = rest[3:]
		case strings.HasPrefix(rest, "**"):
			b.WriteString(".*")
			rest = rest[2:]
		case rest[0] == '*':
			b.WriteString("[^/]*")
			rest = rest[1:]
		case rest[0] == '?':
			b.WriteString("[^/]")
			rest = rest[1:]
		default:
			_, size := utf8.DecodeRuneInString(rest)
			b.WriteString(regexp.QuoteMeta(rest[:size]))
			rest = rest[size:]
		}
	}
	b.WriteString("(?:/.*)?$")
	return regexp.Compile(b.String())
}

// covers reports whether a path belongs to the environment.
func (e *Environment) covers(name string) bool {
	return slices.ContainsFunc(e.paths, func(re *regexp.Regexp) bool { return re.MatchString(name) })
}

// of gives the environments of any of the paths, sorted.
func (c *Config) of(paths ...string) []string {
	var out []string
	for name, e := range c.Environments {
		if slices.ContainsFunc(paths, e.covers) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// skips gives a function that reports which paths are not looked at.
func (c *Config) skips() func(string) bool {
	var globs []*regexp.Regexp
	for _, glob := range c.Ignore {
		if re, err := globPattern(glob); err == nil {
			globs = append(globs, re)
		}
	}
	return func(name string) bool {
		return slices.ContainsFunc(globs, func(re *regexp.Regexp) bool { return re.MatchString(name) })
	}
}

// globLines finds the lines of texts in lists, which the globs of a configuration are.
func globLines(n *yaml.Node) map[string]int {
	lines := map[string]int{}
	var walk func(*yaml.Node)
	walk = func(n *yaml.Node) {
		for _, child := range n.Content {
			if n.Kind == yaml.SequenceNode && child.Kind == yaml.ScalarNode && lines[child.Value] == 0 {
				lines[child.Value] = child.Line
			}
			walk(child)
		}
	}
	walk(n)
	return lines
}

// unmatched are findings about globs that no file or folder of a tree matches: they guard nothing, or hide nothing.
func (c *Config) unmatched(tree fs.FS) []report.Finding {
	globs := map[string]*regexp.Regexp{}
	var out []report.Finding
	for glob, words := range c.globs() {
		if re, err := globPattern(glob); err == nil {
			globs[glob] = re
			out = append(out, report.Finding{
				Rule: report.RuleGlob, Level: report.LevelError, File: c.file, Line: max(1, c.lines[glob]), Subject: glob,
				Message: fmt.Sprintf("%s: %s matches nothing in the repository", words, glob),
				Fix:     "correct the path, which starts at the root of the repository, or leave it out",
			})
		}
	}
	_ = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil //nolint:nilerr // what cannot be read is told elsewhere
		case len(globs) == 0:
			return fs.SkipAll
		case d.IsDir() && d.Name() == ".git":
			return fs.SkipDir
		}
		maps.DeleteFunc(globs, func(_ string, re *regexp.Regexp) bool { return re.MatchString(name) })
		return nil
	})
	return slices.DeleteFunc(out, func(f report.Finding) bool { return globs[f.Subject] == nil })
}

// globs are the globs of a configuration and where they stand.
func (c *Config) globs() map[string]string {
	out := map[string]string{}
	for _, glob := range c.Ignore {
		out[glob] = "ignore"
	}
	for name, e := range c.Environments {
		for _, glob := range e.Paths {
			out[glob] = "environments." + name + ".paths"
		}
	}
	return out
}

// sources are the environments that another one is promoted from.
func (c *Config) sources() []string {
	var out []string
	for _, e := range c.Environments {
		if e != nil && e.PromotedFrom != "" && !slices.Contains(out, e.PromotedFrom) {
			out = append(out, e.PromotedFrom)
		}
	}
	return out
}
