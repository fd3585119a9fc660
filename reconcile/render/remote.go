package render

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// outside is what a kustomization file names beside plain files of the repository.
type outside struct {
	// remote are the references that kustomize would fetch.
	remote []string
	// plugins are the entries of generators, transformers and validators.
	plugins []string
}

// Remote lists what a kustomization file of the folder names that kustomize would fetch.
func (f *Folder) Remote(name string) []string { return f.outsideOf(name).remote }

// outsideOf reads what a kustomization file names. A file that cannot be read names nothing: kustomize cannot build it.
func (f *Folder) outsideOf(name string) outside {
	data, err := manifest.ReadFile(f.files, name)
	if err != nil {
		return outside{}
	}
	if !f.files.isOver(name) {
		f.mu.Lock()
		known, ok := f.outsides[name]
		f.mu.Unlock()
		if ok {
			return known
		}
	}
	var out outside
	var k map[string]any
	if (mayFetch(data) || mayPlug(data)) && yaml.Unmarshal(data, &k) == nil {
		out.remote = fetched(k, nil)
		for key, value := range k {
			list, _ := value.([]any)
			for _, item := range list {
				if entry, ok := item.(string); ok && isPlugin(key) {
					out.plugins = append(out.plugins, entry)
				}
			}
		}
	}
	if !f.files.isOver(name) && !f.files.isMounted(name) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.outsides[name] = out
	}
	return out
}

// mayFetch says quickly whether a kustomization file may hold what IsRemote finds: as it stands, or behind an escape or
// a tag of YAML.
func mayFetch(data []byte) bool {
	return bytes.ContainsAny(data, `@\!`) || bytes.Contains(data, []byte(":/")) ||
		bytes.Contains(bytes.ToLower(data), []byte("github.com")) || bytes.Contains(bytes.ToLower(data), []byte("http"))
}

func mayPlug(data []byte) bool {
	data = bytes.ToLower(data)
	return bytes.Contains(data, []byte("generator")) || bytes.Contains(data, []byte("former")) ||
		bytes.Contains(data, []byte("validator"))
}

// isPlugin reports whether a key of a kustomization lists plugins, in whatever letters: encoding/json takes them so.
func isPlugin(key string) bool {
	return slices.ContainsFunc([]string{"generators", "transformers", "validators"}, func(known string) bool {
		return strings.EqualFold(key, known)
	})
}

// fetched adds the references that kustomize would fetch, wherever in a kustomization or in the configuration of a
// generator or transformer they stand.
func fetched(v any, found []string) []string {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			// Text and annotations are no paths, and kustomize-controller inflates no charts: what they name is never fetched.
			switch key {
			case "patch", "commonAnnotations", "commonLabels", "annotations", "labels", "literals", "metadata", "images",
				"imageTag", "options", "jsonOp", "helmCharts", "helmChartInflationGenerator", "helmGlobals":
				continue
			}
			found = fetched(v[key], found)
		}
	case []any:
		for _, item := range v {
			found = fetched(item, found)
		}
	case string:
		// A generator names a file with the key that it gets: key=file.
		for rest, more := v, true; more; _, rest, more = strings.Cut(rest, "=") {
			if IsRemote(rest) && !slices.Contains(found, rest) {
				found = append(found, rest)
			}
		}
	}
	return found
}

// UserAt begins a reference that names a user, as git@github.com:acme/base does.
var UserAt = regexp.MustCompile(`^[a-z][a-z0-9-]*@`)

// IsRemote reports whether kustomize may fetch a reference. Being wrong in this direction costs a build, in the other
// one a request to a stranger.
func IsRemote(ref string) bool {
	low := strings.TrimPrefix(strings.ToLower(ref), "git::")
	for _, prefix := range []string{"http:", "https:", "ssh://", "file://", "github.com/", "github.com:"} {
		if strings.HasPrefix(low, prefix) {
			return true
		}
	}
	return UserAt.MatchString(low)
}

// pluginFetches finds what a generator, transformer or validator of a kustomization file would fetch. Its own
// configuration decides that: text in the kustomization, a file, or what a folder renders. It is read as kustomize
// reads it. deep counts how many such folders lead to this one.
func (f *Folder) pluginFetches(name, entry string, deep int) (remote []string, err error) {
	factory := resmap.NewFactory(provider.NewDefaultDepProvider().GetResourceFactory())
	dir := path.Dir(name)
	if inline, err := factory.NewResMapFromBytes([]byte(entry)); err == nil {
		return f.configured(dir, entry, inline)
	}
	at := path.Join(dir, entry)
	if IsRemote(entry) || path.IsAbs(entry) {
		return nil, nil // Refused as a reference, or by kustomize.
	}
	if mode, err := f.files.mode(at); err != nil || !mode.IsDir() {
		data, err := manifest.ReadFile(f.files, at)
		if err != nil {
			return nil, nil //nolint:nilerr // kustomize cannot read it either
		}
		objects, err := factory.NewResMapFromBytes(data)
		if err != nil {
			return nil, nil //nolint:nilerr // kustomize tries it as a folder then, and fails
		}
		return f.configured(dir, entry, objects)
	}
	if deep >= maxPluginFolders {
		return nil, fmt.Errorf("%s: generators of generators are nested more than %d deep", name, maxPluginFolders)
	}
	files, err := manifest.Closure(f.files, at)
	if err != nil {
		return nil, err
	}
	if ref, err := f.plugins(files.Paths, deep+1); ref != nil || err != nil {
		return ref, err
	}
	objects, err := f.kustomize(at, map[string]bool{})
	switch {
	case errors.Is(err, ErrUnjudged):
		return nil, err
	case err != nil:
		return nil, nil //nolint:nilerr // kustomize fails at this in the build too
	}
	return f.configured(dir, entry, objects)
}

// configured weighs the files that the configurations of an entry name, and finds what they would fetch.
func (f *Folder) configured(dir, entry string, objects resmap.ResMap) ([]string, error) {
	configs, err := configsOf(objects)
	if err != nil {
		return nil, err
	}
	s := scales{Folder: f, known: map[string]weight{}}
	f.plugged[dir+"\x00"+entry] = s.named(dir, configs)
	return fetched(configs, nil), nil
}

// maxPluginFolders is how deep folders that render generators may be nested.
const maxPluginFolders = 4

// configsOf reads the configurations of plugins that may fetch.
func configsOf(objects resmap.ResMap) (configs []any, err error) {
	for _, o := range objects.Resources() {
		data, err := o.AsYAML()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", o.CurId(), err)
		}
		var config any
		if err := yaml.Unmarshal(data, &config); err != nil {
			return nil, fmt.Errorf("read %s: %w", o.CurId(), err)
		}
		// kustomize-controller inflates no charts, so that nothing of one is fetched.
		if o.GetKind() != "HelmChartInflationGenerator" {
			configs = append(configs, config)
		}
	}
	return configs, nil
}

// Plugins finds what the generators, transformers and validators of some kustomization files would fetch: those of the
// first that would.
func (f *Folder) Plugins(names []string) ([]string, error) { return f.plugins(names, 0) }

func (f *Folder) plugins(names []string, deep int) ([]string, error) {
	for _, name := range names {
		if !IsKustomization(name) {
			continue
		}
		f.judged[name] = true
		o := f.outsideOf(name)
		if deep > 0 && len(o.remote) > 0 {
			return o.remote, nil
		}
		for _, entry := range o.plugins {
			if remote, err := f.pluginFetches(name, entry, deep); len(remote) > 0 || err != nil {
				return remote, err
			}
		}
	}
	return nil, nil
}

// Fetched is what was fetched for a reference: a tree, and the path in it that is meant.
type Fetched struct {
	// Name tells it from all others; it is one part of a path.
	Name string
	FS   fs.FS
	Path string
}

// Put puts what was fetched in the place of the references of a kustomization file.
func (f *Folder) Put(name string, got map[string]Fetched) error {
	if len(got) == 0 {
		return nil
	}
	local := map[string]string{}
	for ref, g := range got {
		if f.files.mounts == nil {
			f.files.mounts = map[string]fs.FS{}
		}
		f.files.mounts[g.Name] = g.FS
		// From the folder of the kustomization to the root, and down again.
		local[ref] = path.Join(strings.Repeat("../", strings.Count(name, "/")), FetchedDir, g.Name, g.Path)
	}
	data, err := manifest.ReadFile(f.files, name)
	if err != nil {
		return err
	}
	var k any
	if err := yaml.Unmarshal(data, &k); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if data, err = yaml.Marshal(renamed(k, local)); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	f.files.over[name] = data
	return nil
}

// renamed puts local paths in the place of references, with the key of a generator's file before them or without one.
func renamed(v any, local map[string]string) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			v[key] = renamed(v[key], local)
		}
	case []any:
		for i := range v {
			v[i] = renamed(v[i], local)
		}
	case string:
		for ref, to := range local {
			if before, ok := strings.CutSuffix(v, ref); ok && (before == "" || strings.HasSuffix(before, "=")) {
				return before + to
			}
		}
	}
	return v
}
