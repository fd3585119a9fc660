package gate

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

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

// build renders a unit, or takes what an earlier version of the tree rendered from the same.
func (b *builder) build(u *unit) {
	if old := b.same(u); old != nil {
		u.rendered, u.failed, u.seen, u.data = copySource(old.rendered), old.failed, old.seen, old.data
		return
	}
	u.seen = map[string]bool{}
	for _, name := range u.sources() {
		u.seen[name] = true
	}
	if u.failed = b.refuse(u); u.failed != nil {
		return
	}
	tree := &layers{FS: b.tree, over: map[string][]byte{}}
	var err error
	if u.flux != nil {
		err = b.generate(tree, u)
	}
	if err == nil {
		if u.failed = b.bring(u, tree); u.failed != nil {
			return
		}
	}
	var data []byte
	if err == nil {
		data, err = b.kustomize(u, tree)
	}
	file, line := u.place()
	if err != nil {
		u.failed = &Finding{
			Rule: RuleBuild, Level: LevelError, File: file, Line: line,
			Message: fmt.Sprintf("kustomize cannot build %s, so Flux cannot apply it: %s", u.dir, tidy(err)),
			Fix:     "make `kustomize build --load-restrictor LoadRestrictionsNone " + u.dir + "` work",
		}
		return
	}
	if u.flux != nil && u.flux.Spec.PostBuild != nil && bytes.Contains(data, []byte("${")) {
		u.data = data
	}
	u.rendered = parse("", data)
	if u.rendered.err != nil {
		u.failed = &Finding{
			Rule: RuleNotRead, Level: LevelUnknown, File: file, Line: line,
			Message: fmt.Sprintf("what kustomize makes of %s cannot be read: %v", u.dir, u.rendered.err),
		}
		u.rendered = nil
	}
}

// same is the unit that another version of the tree rendered from the same files; nil for none.
func (b *builder) same(u *unit) *unit {
	if b.earlier == nil {
		return nil
	}
	old := b.earlier.units[u.id()]
	if old == nil || old.seen == nil || !slices.Equal(old.sources(), u.sources()) {
		return nil
	}
	for name := range old.seen {
		if b.changed[name] {
			return nil
		}
	}
	return old
}

func copySource(s *source) *source {
	if s == nil {
		return nil
	}
	out := *s
	out.objects = slices.Clone(s.objects)
	return &out
}

// kustomize renders a unit.
func (b *builder) kustomize(u *unit, tree *layers) (data []byte, err error) {
	defer func() {
		// The library is not ours: a fault in it must not take the gate down.
		if r := recover(); r != nil {
			data, err = nil, fmt.Errorf("kustomize failed: %v", r)
		}
	}()
	resources, err := b.render(&kustFS{tree: tree, seen: u.seen}, u.dir)
	if err != nil {
		return nil, err
	}
	for _, r := range resources.Resources() {
		if !encrypted(r) {
			continue
		}
		// What stands there in plain text is read; the values of SOPS are not.
		if err := r.PipeE(kyaml.Clear("sops")); err != nil {
			return nil, fmt.Errorf("read %s in plain text: %w", r.CurId(), err)
		}
	}
	return resources.AsYaml()
}

// render runs kustomize. A schema that a kustomization brings must not stay for the next one.
func (b *builder) render(files filesys.FileSystem, dir string) (resmap.ResMap, error) {
	options := krusty.MakeDefaultOptions()
	// As Flux does: what a path may reach is bounded by the tree.
	options.LoadRestrictions = types.LoadRestrictionsNone
	b.library.Lock()
	defer b.library.Unlock()
	defer func() {
		if openapi.GetSchemaVersion() != kubernetesapi.DefaultOpenAPI {
			openapi.ResetOpenAPI()
		}
	}()
	return krusty.MakeKustomizer(options).Run(files, path.Join(top, dir))
}

// encrypted says whether SOPS encrypted an object, whose file is named in the report.
func encrypted(r *resource.Resource) bool {
	sops, err := r.Pipe(kyaml.Lookup("sops"))
	return err == nil && sops != nil &&
		(sops.Field("mac") != nil || sops.Field("lastmodified") != nil || sops.Field("version") != nil)
}

// generate makes the kustomization file that Flux builds: the one that is there, or one of all manifests, with what the
// Flux Kustomization adds.
func (b *builder) generate(tree *layers, u *unit) error {
	file, k := path.Join(u.dir, "kustomization.yaml"), types.Kustomization{}
	found := false
	for _, base := range []string{"kustomization.yaml", "kustomization.yml", "Kustomization"} {
		data, err := readFile(b.tree, path.Join(u.dir, base), manifest.MaxFileSize)
		if err != nil {
			continue
		}
		if err := yaml.Unmarshal(data, &k); err != nil {
			return fmt.Errorf("read %s: %w", path.Join(u.dir, base), err)
		}
		file, found = path.Join(u.dir, base), true
		k.FixKustomization()
		break
	}
	if !found {
		k.TypeMeta = types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind}
		k.Resources = b.manifests(u.dir, u.dir, nil)
	}
	add(&k, &u.flux.Spec)
	data, err := yaml.Marshal(k)
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	tree.over[file] = data
	return nil
}

// add merges what a Flux Kustomization says into a kustomization, as kustomize-controller does.
func add(k *types.Kustomization, s *kustomizev1.KustomizationSpec) {
	if s.TargetNamespace != "" {
		k.Namespace = s.TargetNamespace
	}
	if s.NamePrefix != "" {
		k.NamePrefix = s.NamePrefix
	}
	if s.NameSuffix != "" {
		k.NameSuffix = s.NameSuffix
	}
	merge(k, s.Images, s.Patches)
	for _, c := range s.Components {
		if !slices.Contains(k.Components, c) {
			k.Components = append(k.Components, c)
		}
	}
}

// merge adds images and patches to a kustomization. An image replaces one of the same name.
func merge(k *types.Kustomization, images []fluxkustomize.Image, patches []fluxkustomize.Patch) {
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
func (b *builder) manifests(root, dir string, found []string) []string {
	entries, err := fs.ReadDir(b.tree, dir)
	if err != nil {
		return found
	}
	rel := func(name string) string {
		if root != "." {
			name = strings.TrimPrefix(name, root+"/")
		}
		if isRemote(name) {
			// A folder may have a name that kustomize takes for an address.
			return "./" + name
		}
		return name
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case manifest.Ignored(e.Name()):
		case e.IsDir() && b.hasKustomization(name):
			found = append(found, rel(name))
		case e.IsDir():
			found = b.manifests(root, name, found)
		case e.Type().IsRegular() && (path.Ext(name) == ".yaml" || path.Ext(name) == ".yml"):
			found = append(found, rel(name))
		}
	}
	return found
}

func (b *builder) hasKustomization(dir string) bool {
	for _, base := range []string{"kustomization.yaml", "kustomization.yml", "Kustomization"} {
		if info, err := fs.Lstat(b.tree, path.Join(dir, base)); err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}

// tidy makes one line of kustomize's words.
func tidy(err error) string {
	words := strings.ReplaceAll(strings.Join(strings.Fields(err.Error()), " "), top+"/", "")
	if r := []rune(words); len(r) > 400 {
		return string(r[:400]) + "…"
	}
	return words
}
