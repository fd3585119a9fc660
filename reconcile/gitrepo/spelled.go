package gitrepo

import (
	"context"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// spelling is what the variables were that a place named before a commit, and one of which has another value by now.
//
//	image: web:${VER}, VER: v1  ──►  image: web:v2      web:${VER} would stand for nothing today: it was web:v1
type spelling []manifest.Node

// text is a node with the values in the place of its variables, where all of them are known.
func (s spelling) text(n manifest.Node) manifest.Node {
	used := usedIn(n.Value)
	for _, name := range used {
		if !slices.ContainsFunc(s, func(v manifest.Node) bool { return v.Variable == name }) {
			return n
		}
	}
	if len(used) > 0 {
		n.Value = manifest.Expand(n.Value, s)
	}
	return n
}

// spell finds out what the variables were in the version that the walk is at, of places that name none on the branch,
// or whose defaults count there since nothing sets them any more.
func (w *watching) spell(ctx context.Context, s v1alpha1.Suspect) error {
	var then, now []*unit
	for k, v := range w.values() {
		bad := s.Places[w.places[k].node].Bad
		if v == nil || len(usedIn(v.Value)) == 0 || strings.Contains(bad, "${") && !defaulted(bad) {
			continue
		}
		if then == nil {
			tip, err := w.h.At(ctx, w.h.Tip)
			if err != nil {
				return err
			}
			if then, err = w.h.unitsAt(ctx, w.At); err != nil {
				return err
			}
			if now, err = w.h.unitsAt(ctx, tip); err != nil {
				return err
			}
		}
		var was spelling
		other := false
		for _, name := range usedIn(v.Value) {
			values := valuesIn(then, v.File, name)
			there := valuesIn(now, s.Places[w.places[k].node].File, name)
			if len(values) != 1 || strings.Contains(values[0], "$") || strings.Contains(bad, "${") && len(there) > 0 {
				// Of several clusters, or known to them only; or still set.
				continue
			}
			was = append(was, manifest.Node{Part: manifest.PartVariable, Variable: name, Value: values[0]})
			other = other || !slices.Contains(there, values[0])
		}
		if other {
			w.spelled[k] = was
		}
	}
	return nil
}

// defaulted reports whether a text says of each of its variables what counts where nothing sets it.
func defaulted(text string) bool {
	for _, name := range usedIn(text) {
		if !manifest.HasDefault(text, name) {
			return false
		}
	}
	return true
}

// valuesIn lists the values that a variable has where units render a file.
func valuesIn(units []*unit, file, name string) []string {
	var out []string
	for _, u := range units {
		renders := slices.Contains(u.files.Paths, file) || slices.Contains(u.files.Values, file)
		if vars := u.vars[name]; len(vars) > 0 && renders {
			add(&out, manifest.Expand("${"+name+"}", vars))
		}
	}
	return out
}
