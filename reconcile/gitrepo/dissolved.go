package gitrepo

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// dissolved goes on with what a reference was made of before a commit that wrote it in plain text:
//
//	image: web:${TAG}, TAG: v1  ──►  TAG: v2  ──►  image: web:v2      what brought the variable its v2 counts
//
// It says false where the older version made another image, or nobody can tell which.
func (g *tracing) dissolved(ctx context.Context, f *walk, newer *store.Commit) (bool, error) {
	text := g.parts[g.text()]
	if f.At == nil || !isImage(g.tip[0][0]) && !g.copied() || f.query.Image == "" {
		return false, nil
	}
	changes, err := f.h.changesOf(f.At, newer)
	if err != nil {
		return false, err
	}
	if may, err := f.mayBeMade(text, changes); err != nil || !may {
		return false, err
	}
	made, err := f.madeBefore(ctx, text, changes)
	if err != nil || made == nil {
		return false, err
	}
	return true, g.follow(f, made)
}

// mayBeMade says quickly whether the version that the walk went to can have put a reference together from more than the
// newer one: its text names variables, or the commit changed what copies values into others.
func (f *walk) mayBeMade(text *pursued, changes []store.Change) (bool, error) {
	if !text.gone && slices.ContainsFunc(text.group, func(n manifest.Node) bool {
		return strings.Contains(n.Value, "${") || strings.Contains(n.Value, "$(") || manifest.IsTemplate(n.Value)
	}) {
		return true, nil
	}
	words := []string{"replacements:", "fieldPaths:", "targetPath:"}
	if text.gone {
		words = []string{"ResourceSet"}
	}
	for _, c := range changes {
		if !c.Before.Regular() || !isYAML(c.Path) {
			continue
		}
		data, ok, err := f.h.Content(c.Before.Hash)
		if err != nil {
			return false, err
		}
		if ok && slices.ContainsFunc(words, func(w string) bool { return bytes.Contains(data, []byte(w)) }) {
			return true, nil
		}
	}
	return false, nil
}

// madeBefore is what makes the image of the walk's query in the version that the walk went to, where the text is part
// of it; of a text that is not there, what a file made that the commit changed. It is nil where another image was made
// there, or more than one place made it.
func (f *walk) madeBefore(ctx context.Context, text *pursued, changes []store.Change) (composed, error) {
	files, err := f.h.closure(f.At, f.query.Root)
	if _, refused := reconcile.AsRefusal(err); refused {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l := &locating{history: f.h, ctx: ctx, commit: f.At, query: f.query, files: files}
	found, _, err := l.rendered()
	if err != nil {
		return nil, err
	}
	var made []composed
	for _, c := range found {
		mine := slices.ContainsFunc(slices.Concat(c...), func(m manifest.Node) bool {
			if text.gone {
				return slices.ContainsFunc(changes, func(c store.Change) bool { return c.Path == m.File })
			}
			return m.File == text.group[0].File && m.Pointer == text.group[0].Pointer
		})
		// What the default of a variable makes has the text alone.
		if mine && (len(c) > 1 || strings.Contains(c[0][0].Value, "${") && !text.gone) {
			made = append(made, c)
		}
	}
	if len(made) != 1 {
		return nil, nil
	}
	return made[0], nil
}

// text is the index of the part that holds the text of the reference.
func (g *tracing) text() int {
	if g.copied() {
		return len(g.as) - 1
	}
	return 0
}

// copied reports whether values are copied into the text of the reference.
func (g *tracing) copied() bool { return g.as[0][0].Variable != "" }

// makes notes the whole reference for the text's way back: it may have stood there in full.
func (g *tracing) makes(image string) {
	switch {
	case len(g.as) == 1:
	case g.copied():
		g.parts[g.text()].made = []manifest.Node{{Part: manifest.PartImage, Value: image}}
	default:
		g.parts[0].made = manifest.Effective(g.as)
	}
}

// embody goes on with a text that said by itself what was copied into it later.
func (g *tracing) embody() {
	text := g.parts[g.text()]
	if !g.copied() || text.gone || text.blind || !manifest.SameReference(text.group, text.made) {
		return
	}
	for k, p := range g.parts[:g.text()] {
		if !p.gone {
			continue
		}
		for _, n := range text.group {
			if said, ok := manifest.SaidIn(n, g.as[k][0].Value); ok {
				said.Part, said.Variable = p.tip[0].Part, p.tip[0].Variable
				p.group, p.file, p.gone, g.embodied = []manifest.Node{said}, text.file, false, true
				break
			}
		}
	}
	if g.embodied {
		g.as = g.now()
	}
}

// follow goes on with an older shape of the reference. What the tip has beside the text is followed as before.
func (g *tracing) follow(f *walk, made composed) error {
	parts, shown, text := g.parts, g.shown, g.text()
	g.parts, g.shown, g.as, g.embodied = nil, make([]int, len(shown)), made, false
	for _, nodes := range made {
		p, err := newPursued(f, nodes)
		if err != nil {
			return err
		}
		g.parts = append(g.parts, p)
	}
	for i, k := range shown {
		at := g.text()
		if old := parts[k].group[0]; k != text {
			at = slices.IndexFunc(g.parts, func(p *pursued) bool {
				now := p.group[0]
				// A variable of the tip may stand for text that had another variable before.
				return now.File == old.File && now.Pointer == old.Pointer ||
					now.Variable != "" && old.Value == "${"+now.Variable+"}"
			})
		}
		if at < 0 {
			at, g.parts = len(g.parts), append(g.parts, parts[k])
		}
		if k != text && at < len(g.as) {
			// It keeps the name of today.
			n := g.parts[at].group[0]
			n.Variable = parts[k].tip[0].Variable
			g.parts[at].group, g.as[at] = []manifest.Node{n}, []manifest.Node{n}
		}
		g.parts[at].tip, g.shown[i] = parts[k].tip, at
	}
	g.makes(f.query.Image)
	return nil
}

// values are the nodes of the version that the walk is at, by node of the tip.
func (g *tracing) values() []*manifest.Node {
	var out []*manifest.Node
	untagged := g.untagged()
	for i, k := range g.shown {
		switch {
		case untagged:
			for n := range g.tip[i] {
				out = append(out, &g.tip[i][n])
			}
		case k != g.text():
			out = append(out, g.parts[k].values()...)
		case g.embodied:
			for n := range g.tip[i] {
				out = append(out, &g.tip[i][n])
			}
		default:
			out = append(out, g.textBefore(g.tip[i], g.parts[k].values())...)
		}
	}
	return out
}

// untagged reports whether the version that the walk is at had a tag of its own in the place of the app's version,
// which no place of the tip can say: what the app's version was then ran nowhere.
func (g *tracing) untagged() bool {
	text := g.parts[g.text()]
	if g.as[0][0].Variable != appVersion || text.gone || !versioned(text.group) {
		return false
	}
	return slices.ContainsFunc(text.group, func(n manifest.Node) bool {
		return !slices.ContainsFunc(text.tip, func(t manifest.Node) bool { return t.Part == n.Part })
	})
}

// textBefore is the text of the reference in the version that the walk is at, with the values of all of which the tip
// has no node of its own.
func (g *tracing) textBefore(tip []manifest.Node, text []*manifest.Node) []*manifest.Node {
	image := g.parts[g.text()].made
	var changed bool
	out := slices.Clone(text)
	for k, p := range g.parts[:min(len(g.parts), len(g.as))] {
		if k == g.text() || p.gone || slices.Contains(g.shown, k) {
			continue
		}
		then, now := g.as[k][0], p.told()[0]
		if g.copied() {
			whole := image[0]
			whole.Value, _ = manifest.Replaced(whole.Value, then.Value, now.Value)
			image, changed = []manifest.Node{whole}, true
			continue
		}
		for i, n := range out {
			if n != nil {
				was := *n
				was.Value = strings.ReplaceAll(was.Value, "${"+manifest.NameAt(now.Pointer)+"}", now.Value)
				out[i] = &was
			}
		}
	}
	if changed {
		return manifest.Express(image, tip)
	}
	for i, n := range out {
		// The newer version had nothing but the default.
		if n != nil && len(g.as) == 1 && !strings.Contains(tip[i].Value, "${") &&
			strings.Contains(g.as[0][0].Value, "${") && defaulted(n.Value) {
			was := *n
			was.Value = manifest.Expand(was.Value, nil)
			out[i] = &was
		}
	}
	return out
}
