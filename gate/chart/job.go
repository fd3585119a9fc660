package chart

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"text/template"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"helm.sh/helm/v4/pkg/chart/common"
	chartutil "helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	dependencies "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/ignore"
	release "helm.sh/helm/v4/pkg/release/v1"
	manifests "helm.sh/helm/v4/pkg/release/v1/util"

	"github.com/backstop-dev/backstop/gate/sources"
	"github.com/backstop-dev/backstop/reconcile/manifest"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// The bounds of a chart.
const (
	maxFiles = 5_000
	maxBytes = 32 << 20
)

// ErrLibrary is a chart that is never installed by itself.
var ErrLibrary = errors.New("a library chart")

// NotVendored is a chart whose dependency is not in its charts folder.
type NotVendored struct{ dependency string }

func (e *NotVendored) Error() string {
	return fmt.Sprintf("its dependency %s is not in its folder charts", e.dependency)
}

// Job is what a chart is rendered with.
type Job struct {
	Files           []*archive.BufferedFile
	Name, Namespace string
	Values          map[string]any
	// Defaults are values that stand in for those of the chart; nil for none.
	Defaults map[string]any
	// Tests means that the chart's tests run too.
	Tests bool
	Post  []helmv2.PostRenderer
}

// Read collects the files of a chart from a tree. Links in it are left out.
func Read(fsys fs.FS, dir string) ([]*archive.BufferedFile, error) {
	rules := ignore.Empty()
	if data, err := sources.ReadFile(fsys, path.Join(dir, ".helmignore"), 1<<20); err == nil {
		if rules, err = ignore.Parse(bytes.NewReader(data)); err != nil {
			return nil, fmt.Errorf("read %s: %w", path.Join(dir, ".helmignore"), err)
		}
	}
	rules.AddDefaults()
	var files []*archive.BufferedFile
	size := 0
	err := fs.WalkDir(fsys, dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		rel := strings.TrimPrefix(name, dir+"/")
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case rules.Ignore(rel, info) && d.IsDir():
			return fs.SkipDir
		case d.IsDir(), !d.Type().IsRegular(), rules.Ignore(rel, info):
			return nil
		}
		data, err := manifest.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		if size += len(data); size > maxBytes || len(files) == maxFiles {
			return fmt.Errorf("read the chart %s: more than %d files or %d MiB", dir, maxFiles, maxBytes>>20)
		}
		files = append(files, &archive.BufferedFile{Name: rel, Data: data})
		return nil
	})
	return files, err
}

// run renders a chart as Helm does: without a cluster to look things up in, without the network, and without its tests.
func (r *Job) run() ([]byte, error) {
	rendered, err := r.execute()
	if err != nil {
		return nil, err
	}
	return r.join(rendered)
}

// execute runs the templates of a chart.
func (r *Job) execute() (rendered map[string]string, err error) {
	defer func() {
		// The library is not ours: a fault in it must not take the gate down.
		if p := recover(); p != nil {
			rendered, err = nil, fmt.Errorf("helm failed: %v", p)
		}
	}()
	c, err := loader.LoadFiles(r.Files)
	if err != nil {
		return nil, err
	}
	if c.Metadata.Type == "library" {
		return nil, ErrLibrary
	}
	if missing := lacks(c); missing != "" {
		return nil, &NotVendored{missing}
	}
	if r.Defaults != nil {
		c.Values = r.Defaults
	}
	if err := dependencies.ProcessDependencies(c, r.Values); err != nil {
		return nil, err
	}
	// A schema of the values may refer to anything on the network.
	values, err := chartutil.ToRenderValuesWithSchemaValidation(c, r.Values, common.ReleaseOptions{
		Name: r.Name, Namespace: r.Namespace, Revision: 1, IsInstall: true,
	}, nil, true)
	if err != nil {
		return nil, err
	}
	return engine.Engine{CustomTemplateFuncs: bounded()}.Render(c, values)
}

// maxRepeated bounds what one call of a template's function makes: it is made at once, and would take all memory.
const maxRepeated = 1_000_000

// bounded are the functions of templates that make much of little.
func bounded() template.FuncMap {
	numbers := func(start, stop, step int) ([]int, error) {
		if step == 0 || (stop > start) != (step > 0) {
			return []int{}, nil
		}
		if n := (stop - start) / step; n > maxRepeated || n < 0 {
			return nil, fmt.Errorf("count from %d to %d: more than %d numbers", start, stop, maxRepeated)
		}
		out := []int{}
		for i := start; (step > 0) == (i < stop) && i != stop; i += step {
			out = append(out, i)
		}
		return out, nil
	}
	return template.FuncMap{
		"untilStep": numbers,
		"until": func(stop int) ([]int, error) {
			if stop < 0 {
				return numbers(0, stop, -1)
			}
			return numbers(0, stop, 1)
		},
		"repeat": func(count int, text string) (string, error) {
			if count < 0 || count > maxRepeated/max(1, len(text)) {
				return "", fmt.Errorf("repeat a text %d times: more than %d bytes", count, maxRepeated)
			}
			return strings.Repeat(text, count), nil
		},
	}
}

// lacks names a dependency that is not vendored; empty for none.
func lacks(c *chart.Chart) string {
	for _, d := range c.Metadata.Dependencies {
		if !slices.ContainsFunc(c.Dependencies(), func(sub *chart.Chart) bool { return sub.Name() == d.Name }) {
			return d.Name
		}
	}
	return ""
}

// join makes one text of what templates gave, and leaves out what never runs.
func (r *Job) join(rendered map[string]string) ([]byte, error) {
	for name := range rendered {
		if path.Base(name) == "NOTES.txt" || strings.TrimSpace(rendered[name]) == "" {
			delete(rendered, name)
		}
	}
	hooks, objects, err := manifests.SortManifests(rendered, nil, manifests.InstallOrder)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, o := range objects {
		fmt.Fprintf(&out, "---\n%s\n", o.Content)
	}
	out, err = r.postRender(out)
	if err != nil {
		return nil, err
	}
	for _, h := range hooks {
		tests := !slices.ContainsFunc(h.Events, func(e release.HookEvent) bool { return e != release.HookTest })
		if !tests || r.Tests {
			fmt.Fprintf(&out, "---\n%s\n", h.Manifest)
		}
	}
	return out.Bytes(), nil
}

// postRender does what a HelmRelease asks of kustomize afterwards.
func (r *Job) postRender(out bytes.Buffer) (bytes.Buffer, error) {
	for _, p := range r.Post {
		if p.Kustomize == nil {
			continue
		}
		data, err := render.Patched(out.Bytes(), p.Kustomize.Images, p.Kustomize.Patches)
		if err != nil {
			return out, fmt.Errorf("apply its postRenderers: %w", err)
		}
		out = *bytes.NewBuffer(data)
	}
	return out, nil
}
