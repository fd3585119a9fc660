package render

import (
	"context"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// mostTried is how many files are tried one by one, whether an object depends on them.
const mostTried = 16

// files finds which files of the suspect have to go back, and who else applies them. Where that cannot be told it is
// left to people.
func (p *past) files(ctx context.Context, found *reconcile.Blamed) error {
	commit := found.Suspect.Commit
	changed, err := p.git.Changed(ctx, p.src, commit)
	if _, refused := reconcile.AsRefusal(err); refused {
		return nil
	}
	if err != nil {
		return err
	}
	reached, err := p.reached(ctx, commit, found.Suspect.Parent)
	if err != nil {
		return err
	}
	changed = slices.DeleteFunc(changed, func(n v1alpha1.Place) bool { return !reached(n.File) })
	if p.search.Object != nil && len(changed) <= mostTried {
		if changed, err = p.needed(ctx, found.Suspect, changed); err != nil {
			return err
		}
	}
	tooLong := func(n v1alpha1.Place) bool { return utf8.RuneCountInString(n.File) > v1alpha1.MaxPath }
	if len(changed) == 0 || len(changed) > v1alpha1.MaxPlaces || slices.ContainsFunc(changed, tooLong) {
		return nil
	}
	found.Files = changed
	tree, err := p.git.Snapshot(ctx, p.src, commit)
	if err != nil {
		return err
	}
	found.SharedBy = p.sharers(tree, changed)
	return nil
}

// reached says which files a commit and the one before it are rendered of. What is not looked at any more where a build
// breaks is among them: the manifests of the folder itself.
func (p *past) reached(ctx context.Context, commits ...string) (func(file string) bool, error) {
	all, dir := map[string]bool{}, "."
	for _, commit := range commits {
		tree, err := p.git.Snapshot(ctx, p.src, commit)
		if err != nil {
			return nil, err
		}
		_, folder, err := objects(ctx, NewTree(tree), &p.search.Job)
		if _, refused := reconcile.AsRefusal(err); err != nil && !refused {
			return nil, err
		}
		maps.Copy(all, folder.Seen())
		dir = folder.dir
	}
	return func(file string) bool {
		ext := path.Ext(file)
		below := dir == "." || strings.HasPrefix(file, dir+"/")
		return all[file] || below && (ext == ".yaml" || ext == ".yml" || IsKustomization(file))
	}, nil
}

// needed leaves out the files that the object is the same without.
func (p *past) needed(ctx context.Context, suspect *reconcile.PastCommit, files []v1alpha1.Place,
) ([]v1alpha1.Place, error) {
	before, err := p.at(ctx, suspect.Parent)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(files); {
		fewer := slices.Delete(slices.Clone(files), i, i+1)
		tree, err := p.git.Without(ctx, p.src, suspect.Commit, pathsOf(fewer))
		if err != nil {
			return nil, err
		}
		all, err := Objects(ctx, NewTree(tree), &p.search.Job)
		if _, refused := reconcile.AsRefusal(err); err != nil && !refused {
			return nil, err
		}
		if err == nil && p.says(all) == before.says {
			files = fewer
			continue
		}
		i++
	}
	return files, nil
}

func pathsOf(files []v1alpha1.Place) []string {
	var out []string
	for _, n := range files {
		out = append(out, n.File)
	}
	return out
}

// sharers are the other Kustomizations that are made of one of the files.
func (p *past) sharers(tree fs.FS, changed []v1alpha1.Place) []v1alpha1.ObjectRef {
	var out []v1alpha1.ObjectRef
	for _, root := range p.search.Others {
		files, err := NewTree(tree).Folder(manifest.Folder(root.Path)).Files()
		if err != nil || slices.Contains(out, root.By) {
			continue
		}
		if slices.ContainsFunc(changed, func(n v1alpha1.Place) bool { return slices.Contains(files.Paths, n.File) }) {
			out = append(out, root.By)
		}
	}
	return out
}
