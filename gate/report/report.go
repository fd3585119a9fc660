package report

import (
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/internal/text"
)

// Report is what a check found.
type Report struct {
	// Findings by place.
	Findings []Finding `json:"findings"`
	// Images that the tree, or the change, would run.
	Images []Use `json:"images"`
	// Built are the folders that were rendered, Files how many YAML files were read, Asked how many images a registry
	// was asked for.
	Built []string `json:"built"`
	Files int      `json:"files"`
	// Manifests is how many files, of those that were asked for, hold Kubernetes objects.
	Manifests int `json:"-"`
	Asked     int `json:"asked"`
	// Compared means that only what a change brings in is reported.
	Compared bool `json:"compared"`
}

// Count reports how many findings are of a level.
func (r *Report) Count(level Level) int {
	n := 0
	for _, f := range r.Findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

// say is a finding's message with what to do, for formats that have one field for both.
func (f *Finding) say() string {
	if f.Fix == "" {
		return text.Visible(f.Message)
	}
	return text.Visible(f.Message) + " → " + text.Visible(f.Fix)
}

// text writes findings aligned, by level, and a summary.
func (r *Report) text(w io.Writer, colour bool) {
	paint := func(code, s string) string {
		if !colour {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	places := make([]string, len(r.Findings))
	width := 0
	for i := range r.Findings {
		places[i] = r.Findings[i].place()
		width = max(width, min(len([]rune(places[i])), 60))
	}
	marks := map[Level]string{
		LevelError: paint("31", "✗"), LevelUnknown: paint("33", "?"), LevelNote: paint("2", "·"),
	}
	for _, level := range []Level{LevelError, LevelUnknown, LevelNote} {
		said := ""
		for i, f := range r.Findings {
			if f.Level != level {
				continue
			}
			if said != "" && said != f.Fix {
				fmt.Fprintf(w, "  %s  → %s\n", strings.Repeat(" ", width), text.Visible(said))
			}
			said = f.Fix
			pad := strings.Repeat(" ", max(0, width-len([]rune(places[i]))))
			rule := paint("2", "["+string(f.Rule)+"]")
			fmt.Fprintf(w, "%s %s%s  %s  %s\n", marks[level], places[i], pad, text.Visible(f.Message), rule)
		}
		// What to do is said once for all that it helps against.
		if said != "" {
			fmt.Fprintf(w, "  %s  → %s\n", strings.Repeat(" ", width), text.Visible(said))
		}
	}
	if len(r.Findings) > 0 {
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, r.summary())
}

// summary is one line about what was looked at and found.
func (r *Report) summary() string {
	images := map[string]bool{}
	for _, use := range r.Images {
		images[use.Image] = true
	}
	brought := ""
	if r.Compared {
		brought = " brought in by the change"
	}
	asked := "no registry was asked"
	if r.Asked > 0 {
		asked = fmt.Sprintf("%d asked for", r.Asked)
	}
	return fmt.Sprintf("%s%s (%s) in %s, %s built: %s, %d could not be told, %s",
		Plural(len(images), "image"), brought, asked, Plural(r.Files, "file"), Plural(len(r.Built), "kustomization"),
		Plural(r.Count(LevelError), "finding"), r.Count(LevelUnknown), Plural(r.Count(LevelNote), "note"))
}

// Plural is how many there are of something, in words.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// github writes workflow commands, which become annotations.
func (r *Report) github(w io.Writer) {
	commands := map[Level]string{LevelError: "error", LevelUnknown: "warning", LevelNote: "notice"}
	// https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts
	value := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	for _, f := range r.Findings {
		fmt.Fprintf(w, "::%s file=%s,line=%d,title=%s::%s\n", commands[f.Level],
			text.Visible(property.Replace(f.File)), max(1, f.Line),
			property.Replace("backstop: "+string(f.Rule)), value.Replace(f.say()))
	}
	fmt.Fprintln(w, r.summary())
}

// issue is one entry of GitLab's Code Quality report.
type issue struct {
	Type        string   `json:"type"`
	CheckName   string   `json:"check_name"`
	Description string   `json:"description"`
	Categories  []string `json:"categories"`
	Fingerprint string   `json:"fingerprint"`
	Severity    string   `json:"severity"`
	Location    struct {
		Path  string `json:"path"`
		Lines struct {
			Begin int `json:"begin"`
		} `json:"lines"`
	} `json:"location"`
}

func (r *Report) gitlab() []issue {
	severities := map[Level]string{LevelError: "critical", LevelUnknown: "major", LevelNote: "info"}
	out := []issue{}
	seen := map[string]int{}
	for _, f := range r.Findings {
		i := issue{
			Type: "issue", CheckName: "backstop/" + string(f.Rule), Description: f.say(), Categories: []string{"Bug Risk"},
			Severity: severities[f.Level],
		}
		i.Location.Path, i.Location.Lines.Begin = text.Visible(f.File), max(1, f.Line)
		print := f.File + "\x00" + f.Print()
		seen[print]++
		i.Fingerprint = fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", print, seen[print])))
		out = append(out, i)
	}
	return out
}

// rules lists the rules that findings are of, sorted.
func (r *Report) rules() []Rule {
	var out []Rule
	for _, f := range r.Findings {
		out = append(out, f.Rule)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
