package render

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// Job is what a Flux Kustomization has kustomize-controller render.
type Job struct {
	// Spec names the folder by its path, and describes what is added to it.
	Spec kustomizev1.KustomizationSpec
	// From are the values of spec.postBuild.substituteFrom, by the name of the variable. They are the cluster's.
	From map[string]string
	// Open means that some of those values are not known: a variable without a value stays as it is.
	Open bool
}

// Variables are what the job replaces after the build.
func (j *Job) Variables() Variables {
	if j.Spec.PostBuild == nil {
		return Variables{}
	}
	always := j.Spec.PostBuild.SubstituteStrategy == kustomizev1.SubstituteStrategyAlways
	v := Variables{Values: map[string]string{}, On: true, Open: j.Open, Always: always}
	for name, value := range j.From {
		v.Values[name] = value
	}
	for name, value := range j.Spec.PostBuild.Substitute {
		v.Values[name] = value
	}
	return v
}

// The bounds of a job: what a controller that serves a whole cluster renders is not for ever, and not of any size.
const (
	maxJobFiles = 5000
	maxJobBytes = 64 << 20
)

// Objects renders what kustomize-controller would apply of a tree for a job. What leads out of the tree, or would be
// fetched, is refused with a sentence, and so is what kustomize cannot build: Flux cannot apply it either.
func Objects(ctx context.Context, tree *Tree, job *Job) ([]*unstructured.Unstructured, error) {
	out, _, err := objects(ctx, tree, job)
	return out, err
}

// objects also gives the folder that was rendered, which knows what the rendering depends on.
func objects(ctx context.Context, tree *Tree, job *Job) ([]*unstructured.Unstructured, *Folder, error) {
	f := tree.Folder(manifest.Folder(job.Spec.Path))
	data, err := f.text(ctx, job)
	if err != nil {
		return nil, f, err
	}
	out, err := decode(data, job)
	return out, f, err
}

// decode reads the documents that kustomize made.
func decode(data []byte, job *Job) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		o := &unstructured.Unstructured{}
		switch err := decoder.Decode(o); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, reconcile.Refuse("what kustomize makes of %q cannot be read: %s", job.Spec.Path, Words(err))
		case len(o.Object) == 0:
			continue
		}
		named(o, job.Spec.CommonMetadata)
		out = append(out, o)
	}
}

// named adds the labels and annotations that a Flux Kustomization gives to all that it renders.
func named(o *unstructured.Unstructured, common *kustomizev1.CommonMetadata) {
	if common == nil {
		return
	}
	merge := func(have, more map[string]string) map[string]string {
		if have == nil {
			have = map[string]string{}
		}
		for key, value := range more {
			have[key] = value
		}
		return have
	}
	if len(common.Labels) > 0 {
		o.SetLabels(merge(o.GetLabels(), common.Labels))
	}
	if len(common.Annotations) > 0 {
		o.SetAnnotations(merge(o.GetAnnotations(), common.Annotations))
	}
}

// text renders a job into documents.
func (f *Folder) text(ctx context.Context, job *Job) ([]byte, error) {
	dir := f.dir
	// Whether the folder is there and inside of the tree is asked before anything is written over it.
	if _, err := f.Files(); err != nil {
		return nil, reconcile.Refuse("%w", err)
	}
	if err := f.Add(&job.Spec); err != nil {
		return nil, reconcile.Refuse("kustomize cannot build %q: %s", dir, Words(err))
	}
	files, err := f.Files()
	if err != nil {
		return nil, reconcile.Refuse("%w", err)
	}
	if err := f.bounded(ctx, files); err != nil {
		return nil, err
	}
	data, err := f.Build()
	if errors.Is(err, ErrTooMuch) || errors.Is(err, ErrUnjudged) {
		return nil, notRendered("%w", err)
	}
	if err != nil {
		return nil, reconcile.Refuse("kustomize cannot build %q: %s", dir, Words(err))
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	text, err := job.Variables().Text(string(data))
	if errors.Is(err, ErrTooMuch) {
		return nil, notRendered("the variables of %q: %w", dir, err)
	}
	if err != nil {
		return nil, reconcile.Refuse("the variables of %q cannot be replaced: %s", dir, Words(err))
	}
	return []byte(text), nil
}

// bounded refuses what leads out of the tree, would be fetched, or is too much.
func (f *Folder) bounded(ctx context.Context, files manifest.Files) error {
	if len(files.Problems) > 0 {
		// What Flux cannot do either counts first.
		p := slices.MinFunc(files.Problems, func(a, b manifest.Problem) int { return unfollowed(a) - unfollowed(b) })
		if p.Unfollowed {
			return notRendered("%s: %s", p.File, p.Why)
		}
		return reconcile.Refuse("%s: %s", p.File, p.Why)
	}
	if n := len(files.Paths) + len(files.Values); n > maxJobFiles {
		return notRendered("%q is made of %d files, of which at most %d are rendered", f.dir, n, maxJobFiles)
	}
	size := 0
	for _, name := range files.Paths {
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := manifest.ReadFile(f.files, name)
		if err != nil {
			return reconcile.Refuse("read %s: %w", name, err)
		}
		if size += len(data); size > maxJobBytes {
			return notRendered("the files of %q are larger than %d MiB together", f.dir, maxJobBytes>>20)
		}
		// A few lines of aliases of aliases stand for more than there is memory.
		if _, err := manifest.PlainNodes(name, data); errors.Is(err, manifest.ErrTooLarge) {
			return notRendered("%w", err)
		}
		if remote := f.Remote(name); IsKustomization(name) && len(remote) > 0 {
			return notRendered("%s names %q, which would have to be fetched", name, remote[0])
		}
	}
	remote, err := f.Plugins(files.Paths)
	if err != nil {
		return reconcile.Refuse("%w", err)
	}
	if len(remote) > 0 {
		return notRendered("a generator or transformer of %q names %q, which would have to be fetched", f.dir, remote[0])
	}
	return nil
}

// notRendered refuses what Flux may render all the same.
func notRendered(format string, args ...any) error {
	return reconcile.RefuseAs(reconcile.FaultNotRendered, format, args...)
}

func unfollowed(p manifest.Problem) int {
	if p.Unfollowed {
		return 1
	}
	return 0
}
