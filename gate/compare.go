package gate

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/gate/sources"
)

// Change is an object that runs other images in one version of a tree than in another.
type Change struct {
	// Object that runs them, and the unit that renders it; empty for a file that no kustomization includes.
	Object, Unit string
	// Before and After are the images, each once; none where the object is not there.
	Before, After []string
}

// String describes what changes.
func (c Change) String() string {
	where := ""
	if c.Unit != "" {
		where = " in " + c.Unit
	}
	switch before, after := strings.Join(c.Before, ", "), strings.Join(c.After, ", "); {
	case after == "":
		return fmt.Sprintf("%s%s is gone, which ran %s", c.Object, where, before)
	case before == "":
		return fmt.Sprintf("%s%s is new, and runs %s", c.Object, where, after)
	default:
		return fmt.Sprintf("%s%s: %s → %s", c.Object, where, before, after)
	}
}

// Comparison is what a change of some files does to what is rendered.
type Comparison struct {
	// Changes by object.
	Changes []Change
	// Broken are the findings about what could be built before and cannot be any more, and about images with a variable
	// that nothing replaces.
	Broken []report.Finding
	// Left are the uses of the image that was asked for which stay, each place of an object once.
	Left []report.Use
	// Had means that the image was in use before.
	Had bool
}

// Compare renders two versions of a tree, and describes what changes and where an image is still in use. No registry is
// asked and nothing is fetched.
func Compare(ctx context.Context, before, after fs.FS, image string) (*Comparison, error) {
	o := Options{Head: sources.Tree{FS: before}, Base: sources.Tree{FS: after}}
	o.fill()
	o.fetcher = newFetcher(ctx, nil)
	defer func() { _ = o.fetcher.close() }()
	step := func() {}
	was, err := newModel(o.Head, &o, nil, step) //nolint:contextcheck // the fetcher has the context
	if err != nil {
		return nil, err
	}
	is, err := newModel(o.Base, &o, was, step) //nolint:contextcheck // the fetcher has the context
	if err != nil {
		return nil, err
	}
	out := &Comparison{}
	broken := was.unbuilt()
	for what, f := range is.unbuilt() {
		if _, before := broken[what]; !before && f.Level == report.LevelError {
			out.Broken = append(out.Broken, f)
		}
	}
	out.Broken = report.SortFindings(out.Broken)
	for _, u := range is.open {
		if u.Literal != "" && !slices.ContainsFunc(was.open, func(o report.Use) bool {
			return o.Object == u.Object && o.Unit == u.Unit
		}) {
			out.Broken = append(out.Broken, notReplaced(u))
		}
	}
	old, now := was.byObject(), is.byObject()
	// An object of which the image makes the name, such as a Job, is one object before and another after.
	keys := maps.Clone(old)
	maps.Copy(keys, now)
	for _, key := range slices.SortedFunc(maps.Keys(keys), compareRunners) {
		if b, a := old[key], now[key]; !slices.Equal(b, a) {
			out.Changes = append(out.Changes, Change{key.object, key.unit, without(b, a), without(a, b)})
		}
	}
	same := func(u report.Use) bool { return u.Image == image }
	out.Had = slices.ContainsFunc(was.uses, same)
	for _, u := range is.uses {
		known := func(o report.Use) bool { return o.Object == u.Object && o.File == u.File && o.Line == u.Line }
		if same(u) && !slices.ContainsFunc(out.Left, known) {
			out.Left = append(out.Left, u)
		}
	}
	return out, nil
}

// build is a folder that something has built: a Flux Kustomization in a file, or nothing but its own kustomization.
type build struct{ folder, file, flux string }

// unbuilt are the findings about what cannot be built. What kustomize says of a folder holds its text, which changes:
// the folder and who has it built tell whether it could be built before.
func (m *model) unbuilt() map[build]report.Finding {
	out := map[build]report.Finding{}
	for _, u := range m.builder.units {
		if u.failed == nil || u.failed.Rule != report.RuleBuild {
			continue
		}
		b := build{folder: u.dir}
		if u.flux != nil {
			b.file, b.flux = u.origin.File, u.flux.Namespace+"/"+u.flux.Name
		}
		out[b] = *u.failed
	}
	for _, n := range m.builder.notes {
		if n.Rule == report.RuleBuild {
			out[build{folder: n.folder, file: n.File}] = n.Finding
		}
	}
	return out
}

// runner is an object as one unit renders it.
type runner struct{ object, unit string }

// hashed is an object whose name ends as a generator's does: in a hash of what it holds.
var hashed = regexp.MustCompile(`^((?:ConfigMap|Secret) .+)-[2456789bcdfghkmt]{10}$`)

// byObject lists the images of each object.
func (m *model) byObject() map[runner][]string {
	out := map[runner][]string{}
	for _, u := range slices.Concat(m.uses, m.open) {
		key := runner{hashed.ReplaceAllString(u.Object, "$1"), u.Unit}
		out[key] = union(out[key], []string{u.Image})
	}
	return out
}

// without gives what is in one list and not in another; all of it where that is nothing.
func without(list, other []string) []string {
	out := slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
	if len(out) == 0 {
		return list
	}
	return out
}

// compareRunners orders objects by name and unit.
func compareRunners(a, b runner) int {
	return cmp.Or(strings.Compare(a.object, b.object), strings.Compare(a.unit, b.unit))
}
