package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// commands are those that people type, in the order of help.
func commands() []*cobra.Command {
	root := rootCommand(streams{out: &bytes.Buffer{}, err: &bytes.Buffer{}})
	return slices.DeleteFunc(root.Commands(), func(c *cobra.Command) bool { return c.Hidden || c.Name() == "help" })
}

func TestCommandsReferenceIsWhatHelpPrints(t *testing.T) {
	var want strings.Builder
	want.WriteString("# Commands\n\nWhat `--help` prints of each, by `make golden`. They are plugins of kubectl and of flux too: `kubectl backstop get`, `flux backstop get`.\n" +
		"[Exit codes](exit-codes.md) are the same of all.\n")
	for _, c := range commands() {
		if c.Name() == "completion" {
			want.WriteString("\n## completion\n\n```sh\nsource <(backstop completion bash)      # also zsh, fish; the archives of a release have the files\n```\n")
			continue
		}
		var out bytes.Buffer
		run(t.Context(), []string{"backstop", c.Name(), "--help"}, streams{in: strings.NewReader(""), out: &out, err: &out})
		want.WriteString("\n## " + c.Name() + "\n\n```\n" + strings.TrimSpace(out.String()) + "\n```\n")
	}
	const name = "../../docs/reference/commands.md"
	if *update {
		if err := os.WriteFile(name, []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(name)
	if err != nil || string(have) != want.String() {
		t.Errorf("docs/reference/commands.md is not what --help prints: run make golden (%v)", err)
	}
}

var (
	shellBlock = regexp.MustCompile("(?ms)^ *```(?:sh|console)\n(.*?)^ *```")
	inline     = regexp.MustCompile("`((?:kubectl |flux )?backstop [a-z][^`]*)`")
	continued  = regexp.MustCompile(`\\\n\s*`)
	word       = regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s|;]+`)
)

// commandLines are the lines of backstop in a text, without prompt and comment.
func commandLines(text string) []string {
	var out []string
	for _, block := range shellBlock.FindAllStringSubmatch(text, -1) {
		for line := range strings.SplitSeq(continued.ReplaceAllString(block[1], " "), "\n") {
			line, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "$ "), " #")
			line, _, _ = strings.Cut(line, " && ")
			out = append(out, line)
		}
	}
	for _, m := range inline.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	for i, line := range out {
		for _, host := range []string{"kubectl ", "flux "} {
			out[i] = strings.TrimPrefix(line, host)
			if out[i] != line && strings.HasPrefix(out[i], "backstop ") {
				break
			}
			out[i] = line
		}
	}
	return slices.DeleteFunc(out, func(line string) bool { return !strings.HasPrefix(line, "backstop ") })
}

// TestCommandsInTheDocsExist parses every command of backstop that the docs tell people to type.
func TestCommandsInTheDocsExist(t *testing.T) {
	found := 0
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../docs/*/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(file, "reference/commands.md") || filepath.Base(file) == "CHANGELOG.md" {
				continue
			}
			for _, line := range commandLines(string(text)) {
				found++
				if err := typed(line); err != nil {
					t.Errorf("%s: %q: %v", file, line, err)
				}
			}
		}
	}
	if found < 60 {
		t.Errorf("%d commands found", found)
	}
	for line, bad := range map[string]bool{
		"backstop get holds -A": false, "backstop gett holds": true, "backstop get --nothing": true, "backstop trace deploy/x -n y -o json": false,
	} {
		if err := typed(line); (err != nil) != bad {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// typed describes what is wrong with a command line, as far as it can be told without running it.
func typed(line string) error {
	root := rootCommand(streams{out: &bytes.Buffer{}, err: &bytes.Buffer{}})
	root.InitDefaultVersionFlag()
	words := word.FindAllString(line, -1)[1:]
	for i, w := range words {
		words[i] = strings.Trim(w, `'"`)
	}
	cmd, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	if cmd == root && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return badUsage("unknown command %q", rest[0])
	}
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	flags := pflag.NewFlagSet("docs", pflag.ContinueOnError)
	flags.AddFlagSet(cmd.Flags())
	flags.AddFlagSet(cmd.InheritedFlags())

	for _, w := range rest {
		name, _, _ := strings.Cut(w, "=")
		switch {
		case strings.HasPrefix(w, "--") && flags.Lookup(name[2:]) == nil && w != "--":
			return badUsage("unknown flag %s", w)
		case len(w) == 2 && w[0] == '-' && flags.ShorthandLookup(w[1:]) == nil:
			return badUsage("unknown flag %s", w)
		}
	}
	return nil
}
