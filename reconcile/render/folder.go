package render

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxkustomize "github.com/fluxcd/pkg/apis/kustomize"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/kustomize/kyaml/openapi/kubernetesapi"
	"sigs.k8s.io/kustomize/kyaml/resid"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// Tree renders folders of one tree, for any number of goroutines. The tree must tell links by their mode, as
// manifest.Closure wants it.
type Tree struct {
	tree fs.FS
	// outsides is what each kustomization of the tree names beside files.
	outsides map[string]outside
	// mu guards outsides.
	mu sync.Mutex
}

// NewTree begins to render folders of a tree.
func NewTree(tree fs.FS) *Tree { return &Tree{tree: tree, outsides: map[string]outside{}} }

// Folder is a folder on its way through kustomize. It is for one goroutine.
type Folder struct {
	*Tree
	dir   string
	files *layers
	seen  map[string]bool
	// judged are the kustomization files of which Plugins was asked what they would fetch.
	judged map[string]bool
	// plugged is what it found the entries of generators and transformers to name, by folder and entry.
	plugged map[string]weight
	// secret means that something that was built is encrypted.
	secret bool
}

// Folder begins to render a folder.
func (t *Tree) Folder(dir string) *Folder {
	return &Folder{
		Tree: t, dir: dir, files: &layers{FS: t.tree, over: map[string][]byte{}}, seen: map[string]bool{},
		judged: map[string]bool{}, plugged: map[string]weight{},
	}
}

// Seen are the paths in the tree on which the rendering depends. Whoever knows of more may add them.
func (f *Folder) Seen() map[string]bool { return f.seen }

// Files lists what the folder reaches, with what was added to it and put in place.
func (f *Folder) Files() (manifest.Files, error) { return manifest.Closure(f.files, f.dir) }

// IsKustomization reports whether a file is one by its name.
func IsKustomization(name string) bool {
	return slices.Contains(manifest.Kustomizations, path.Base(name))
}

// Build runs kustomize on the folder. What it would fetch must have been put in place or refused before.
func (f *Folder) Build() (data []byte, err error) {
	defer func() {
		// The library is not ours: a fault in it must not take the process down.
		if r := recover(); r != nil {
			data, err = nil, fmt.Errorf("kustomize failed: %v", r)
		}
	}()
	if err := f.weigh(); err != nil {
		return nil, err
	}
	resources, err := f.kustomize(f.dir, f.seen)
	if err != nil {
		return nil, err
	}
	for _, r := range resources.Resources() {
		if !encrypted(r) {
			continue
		}
		f.secret = true
		// What stands there in plain text is read; the values of SOPS are not.
		if err := r.PipeE(kyaml.Clear("sops")); err != nil {
			return nil, fmt.Errorf("read %s in plain text: %w", r.CurId(), err)
		}
	}
	return resources.AsYaml()
}

// library lets one into kustomize at a time: it keeps the schema of a build in globals, some megabytes of Kubernetes'
// own.
var library struct {
	sync.Mutex
	// built counts the builds.
	built int
}

// schemaKept is how long the schema is kept for the next build: to read it takes a fraction of a second.
const schemaKept = time.Minute

// build runs kustomize. A schema that a kustomization brings must not stay for the next one, and no schema for long.
func build(files filesys.FileSystem, dir string, options *krusty.Options) (resmap.ResMap, error) {
	library.Lock()
	defer library.Unlock()
	library.built++
	last := library.built
	defer func() {
		if openapi.GetSchemaVersion() != kubernetesapi.DefaultOpenAPI {
			openapi.ResetOpenAPI()
		}
		time.AfterFunc(schemaKept, func() { giveBack(last) })
	}()
	return krusty.MakeKustomizer(options).Run(files, dir)
}

// giveBack forgets the schema, unless something was built since.
func giveBack(last int) {
	library.Lock()
	defer library.Unlock()
	if library.built == last {
		openapi.ResetOpenAPI()
	}
}

// kustomize builds a folder of the kustomizations that were judged.
func (f *Folder) kustomize(dir string, seen map[string]bool) (resmap.ResMap, error) {
	options := krusty.MakeDefaultOptions()
	// As Flux does: what a path may reach is bounded by the tree.
	options.LoadRestrictions = types.LoadRestrictionsNone
	files := &kustFS{tree: f.files, seen: seen, judged: f.judged}
	made, err := build(files, path.Join(top, dir), options)
	if files.stranger != "" {
		return nil, fmt.Errorf("%s: %w", files.stranger, ErrUnjudged)
	}
	return made, err
}

// encrypted reports whether SOPS encrypted an object.
func encrypted(r *resource.Resource) bool {
	sops, err := r.Pipe(kyaml.Lookup("sops"))
	return err == nil && sops != nil &&
		(sops.Field("mac") != nil || sops.Field("lastmodified") != nil || sops.Field("version") != nil)
}

// Add makes the kustomization file that Flux builds: the one that is there, or one of all manifests, with what a Flux
// Kustomization adds.
func (f *Folder) Add(spec *kustomizev1.KustomizationSpec) error {
	file, k := path.Join(f.dir, "kustomization.yaml"), types.Kustomization{}
	found := false
	for _, base := range manifest.Kustomizations {
		data, err := manifest.ReadFile(f.tree, path.Join(f.dir, base))
		if err != nil {
			continue
		}
		if err := yaml.Unmarshal(data, &k); err != nil {
			return fmt.Errorf("read %s: %w", path.Join(f.dir, base), err)
		}
		file, found = path.Join(f.dir, base), true
		k.FixKustomization()
		break
	}
	if !found {
		k.TypeMeta = types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind}
		k.Resources = f.manifests(f.dir, nil)
	}
	f.merge(&k, spec)
	data, err := yaml.Marshal(k)
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	f.files.over[file] = data
	return nil
}

// merge puts what a Flux Kustomization says into a kustomization, as kustomize-controller does.
func (f *Folder) merge(k *types.Kustomization, s *kustomizev1.KustomizationSpec) {
	if s.TargetNamespace != "" {
		k.Namespace = s.TargetNamespace
	}
	if s.NamePrefix != "" {
		k.NamePrefix = s.NamePrefix
	}
	if s.NameSuffix != "" {
		k.NameSuffix = s.NameSuffix
	}
	mergeImages(k, s.Images, s.Patches)
	for _, c := range s.Components {
		if s.IgnoreMissingComponents && !IsRemote(c) {
			if mode, err := f.files.mode(path.Join(f.dir, c)); err != nil || !mode.IsDir() {
				continue
			}
		}
		if !slices.Contains(k.Components, c) {
			k.Components = append(k.Components, c)
		}
	}
}

// mergeImages adds images and patches to a kustomization. An image replaces one of the same name.
func mergeImages(k *types.Kustomization, images []fluxkustomize.Image, patches []fluxkustomize.Patch) {
	for _, i := range images {
		k.Images = slices.DeleteFunc(k.Images, func(other types.Image) bool { return other.Name == i.Name })
		k.Images = append(k.Images, types.Image{Name: i.Name, NewName: i.NewName, NewTag: i.NewTag, Digest: i.Digest})
	}
	for _, p := range patches {
		k.Patches = append(k.Patches, types.Patch{Patch: p.Patch, Target: selector(p.Target)})
	}
}

func selector(t *fluxkustomize.Selector) *types.Selector {
	if t == nil {
		return nil
	}
	return &types.Selector{
		ResId: resid.ResId{
			Gvk: resid.Gvk{Group: t.Group, Version: t.Version, Kind: t.Kind}, Name: t.Name, Namespace: t.Namespace,
		},
		AnnotationSelector: t.AnnotationSelector, LabelSelector: t.LabelSelector,
	}
}

// manifests lists what Flux takes of a folder without a kustomization: every manifest below, and folders that have one.
func (f *Folder) manifests(dir string, found []string) []string {
	entries, err := fs.ReadDir(f.tree, dir)
	if err != nil {
		return found
	}
	rel := func(name string) string {
		if f.dir != "." {
			name = strings.TrimPrefix(name, f.dir+"/")
		}
		if IsRemote(name) {
			// A folder may have a name that kustomize takes for an address.
			return "./" + name
		}
		return name
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case manifest.Ignored(e.Name()):
		case e.IsDir() && f.hasKustomization(name):
			found = append(found, rel(name))
		case e.IsDir():
			found = f.manifests(name, found)
		case e.Type().IsRegular() && (path.Ext(name) == ".yaml" || path.Ext(name) == ".yml"):
			found = append(found, rel(name))
		}
	}
	return found
}

func (f *Folder) hasKustomization(dir string) bool {
	return slices.ContainsFunc(manifest.Kustomizations, func(base string) bool {
		mode, err := f.files.mode(path.Join(dir, base))
		return err == nil && mode.IsRegular()
	})
}

// Words makes one line of kustomize's words.
func Words(err error) string {
	words := strings.ReplaceAll(strings.Join(strings.Fields(err.Error()), " "), top+"/", "")
	if r := []rune(words); len(r) > 400 {
		return string(r[:400]) + "…"
	}
	return words
}
