package trace

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// sign is how a mark is printed, and its colour.
func sign(m Mark) (text, colour string) {
	switch m {
	case Good:
		return "✓", "32"
	case Blocked:
		return "✗", "31"
	case Waits:
		return "…", "33"
	case Unknown:
		return "?", "33"
	default:
		return "-", "90"
	}
}

// Print writes a trail for a person, with the colours of a terminal where it is one.
func Print(out io.Writer, t *Trail, colour bool) error {
	p := &Printer{Out: out, Colour: colour}
	p.Line("%s in %s, container %s", t.Workload, t.Namespace, t.Container)
	if t.Image == t.Runs {
		p.Line("  image  %s", t.Image)
	} else {
		p.Line("  image  %s", t.Image)
		p.Line("  runs   %s", t.Runs)
	}
	p.Line("  is     %s", Summary(t))
	p.Line("")
	p.Hops(t.Hops)
	for _, n := range t.Notes {
		p.Line("note: %s", n)
	}
	if t.History != nil {
		p.Line("")
		p.history(t)
	}
	return p.Err
}

// Summary says in a few words how a trail stands.
func Summary(t *Trail) string {
	by := map[Mark][]string{}
	for _, h := range t.Hops {
		by[h.Mark] = append(by[h.Mark], h.Name)
	}
	switch {
	case len(by[Blocked]) > 0:
		return "stopped at: " + strings.Join(by[Blocked], ", ")
	case len(by[Waits]) > 0:
		return "on its way, at: " + by[Waits][0]
	case len(by[Unknown]) > 0:
		return "all right as far as could be read; not read: " + strings.Join(by[Unknown], ", ")
	}
	return "where it should be"
}

// Printer writes lines, without what foreign text could do to a terminal, and keeps the first error.
type Printer struct {
	Out    io.Writer
	Colour bool
	Err    error
}

// Line writes one line.
func (p *Printer) Line(format string, args ...any) {
	if p.Err == nil {
		_, p.Err = fmt.Fprintln(p.Out, oneLine(fmt.Sprintf(format, args...)))
	}
}

// maxAt is how wide the column of objects grows.
const maxAt = 44

// Hops writes one line a hop, and one for its fix.
func (p *Printer) Hops(hops []Hop) {
	wide := 0
	for _, h := range hops {
		if n := utf8.RuneCountInString(at(h)); n <= maxAt {
			wide = max(wide, n)
		}
	}
	for _, h := range hops {
		text, colour := sign(h.Mark)
		says := h.Says
		switch h.Mark {
		case Unknown:
			says = "not read: " + h.Why
		case Blocked, Waits:
			says = h.Why
		case Good, None:
		}
		rest := oneLine(fmt.Sprintf("%-10s  %-*s  %s", h.Name, wide, at(h), says))
		if p.Colour {
			text = "\x1b[" + colour + "m" + text + "\x1b[0m"
		}
		p.raw(text + " " + rest + "\n")
		if h.Fix != "" {
			p.raw(strings.Repeat(" ", 14) + oneLine("fix: "+h.Fix) + "\n")
		}
	}
}

// at is where a hop is. The image itself is in the head of the trail.
func at(h Hop) string {
	if h.Name == HopTag {
		return host(h.At)
	}
	return h.At
}

func (p *Printer) raw(s string) {
	if p.Err == nil {
		_, p.Err = io.WriteString(p.Out, s)
	}
}

// history lists which image the branch said, newest first.
func (p *Printer) history(t *Trail) {
	w := tabwriter.NewWriter(p.Out, 0, 0, 2, ' ', 0)
	row := func(cells ...string) {
		for i := range cells {
			cells[i] = oneLine(cells[i])
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	row("SINCE", "IMAGE", "COMMIT", "WHO", "WHY")
	for _, turn := range t.History {
		who := turn.Author
		if turn.Backstop != "" {
			who = "Backstop (" + strings.ToLower(string(turn.Backstop)) + ")"
		}
		image := "(taken away)"
		if turn.Image != "" {
			_, tag, digest := manifest.Split(turn.Image)
			if image = tag; tag == "" {
				image = text.ShortDigest(digest)
			}
		}
		row(turn.When.UTC().Format("2006-01-02 15:04 MST"), image, fmt.Sprintf("%.12s", turn.Commit), who, turn.Subject)
	}
	if err := w.Flush(); p.Err == nil {
		p.Err = err
	}
	if t.More {
		p.Line("There is more: --history=N shows the last N.")
	}
}

// oneLine keeps foreign text from moving the cursor, from turning the direction of what follows, and from making lines.
func oneLine(s string) string { return strings.TrimRight(text.Visible(s), " ") }
