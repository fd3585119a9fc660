package gate

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxkustomize "github.com/fluxcd/pkg/apis/kustomize"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

func unmarshal(data []byte, into any) error { return yaml.Unmarshal(data, into) }

// build renders a unit, or takes what an earlier version of the tree rendered from the same.
func (b *builder) build(u *unit) {
	if u.flux != nil {
		u.vars = b.variables(u.flux)
	}
	if old := b.same(u); old != nil {
		u.rendered, u.failed, u.seen = copySource(old.rendered), old.failed, old.seen
		return
	}
	u.seen = map[string]bool{}
	for _, name := range u.sources() {
		u.seen[name] = true
	}
	if u.failed = b.refuse(u); u.failed != nil {
		return
	}
	data, err := b.kustomize(u)
	file, line := u.place()
	if err != nil {
		u.failed = &Finding{
			Rule: RuleBuild, Level: LevelError, File: file, Line: line,
			Message: fmt.Sprintf("kustomize cannot build %s, so Flux cannot apply it: %s", u.dir, tidy(err)),
			Fix:     "make `kustomize build --load-restrictor LoadRestrictionsNone " + u.dir + "` work",
		}
		return
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

// refuse says why a unit is not built at all: it would leave the repository.
func (b *builder) refuse(u *unit) *Finding {
	for _, p := range u.closure.Problems {
		ref, remote := remoteOf(p.Reason)
		if remote && b.allowed(ref) {
			continue
		}
		f := &Finding{Rule: RuleBuild, Level: LevelError, File: p.File, Line: b.lineOf(p.File, ref), Message: p.Reason}
		switch {
		case remote:
			f.Rule, f.Level = RuleRemote, LevelUnknown
			f.Message = fmt.Sprintf("%s is not built: %s", u.dir, p.Reason)
			f.Fix = allowing(ref)
		case strings.Contains(p.Reason, "symbolic link"), strings.Contains(p.Reason, "submodule"):
			f.Message += "; Flux does not follow it either"
			f.Fix = "put the file itself into the repository"
		default:
			f.Fix = "correct the reference: kustomize cannot build " + u.dir + " with it"
		}
		return f
	}
	return b.refuseFetches(u)
}

// refuseFetches looks for what kustomize would download and the closure does not follow.
func (b *builder) refuseFetches(u *unit) *Finding {
	for _, name := range u.closure.Paths {
		if !isKustomization(name) {
			continue
		}
		if ref := b.fetchedBy(name); ref != "" {
			return &Finding{
				Rule: RuleRemote, Level: LevelUnknown, File: name, Line: b.lineOf(name, ref),
				Message: fmt.Sprintf("%s is not built: %q is remote: only files of this repository are read", u.dir, ref),
				Fix:     allowing(ref),
			}
		}
	}
	return nil
}

// fetchedBy finds a reference in a kustomization file that kustomize would fetch; empty for none.
func (b *builder) fetchedBy(name string) string {
	if ref, known := b.fetches[name]; known {
		return ref
	}
	ref := ""
	var k any
	if data, err := readFile(b.tree, name, manifest.MaxFileSize); err == nil && yaml.Unmarshal(data, &k) == nil {
		ref = b.fetched(k)
	}
	b.fetches[name] = ref
	return ref
}

// fetched finds a reference that kustomize would fetch, wherever in a kustomization it stands; empty for none.
func (b *builder) fetched(v any) string {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range sortedKeys(v) {
			// Text and annotations are no paths.
			switch key {
			case "patch", "commonAnnotations", "commonLabels", "labels", "literals", "metadata", "images", "options":
				continue
			}
			if ref := b.fetched(v[key]); ref != "" {
				return ref
			}
		}
	case []any:
		for _, item := range v {
			if ref := b.fetched(item); ref != "" {
				return ref
			}
		}
	case string:
		if _, file, ok := strings.Cut(v, "="); ok && !strings.Contains(v, "?") {
			v = file
		}
		if isRemote(v) && !b.allowed(v) {
			return v
		}
	}
	return ""
}

// isRemote says whether kustomize may fetch a reference. Being wrong in this direction costs a build, in the other one
// a request to a stranger.
func isRemote(ref string) bool {
	low := strings.ToLower(strings.TrimPrefix(strings.ToLower(ref), "git::"))
	if strings.ContainsAny(ref, "\n ") {
		return false
	}
	for _, prefix := range []string{"http://", "https://", "ssh://", "file://", "github.com/", "github.com:"} {
		if strings.HasPrefix(low, prefix) {
			return true
		}
	}
	user, _, ok := strings.Cut(low, "@")
	return ok && !strings.ContainsAny(user, "/.")
}

// remoteOf cuts the reference out of a problem of the closure, and says whether it is that the reference is remote.
func remoteOf(reason string) (ref string, remote bool) {
	if parts := strings.SplitN(reason, `"`, 3); len(parts) == 3 {
		ref = parts[1]
	}
	return ref, strings.Contains(reason, "is remote:")
}

// prefixOf is what to allow for a remote reference: its host and first folder.
func prefixOf(ref string) string {
	at := address(strings.TrimPrefix(ref, "git::"))
	parts := strings.SplitN(at, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/") + "/"
}

// allowing says what to do about a remote reference.
func allowing(ref string) string {
	return fmt.Sprintf("copy it into the repository, or allow it: --allow-remote %s, or remoteBases: [%[1]s] in %s",
		prefixOf(ref), ConfigFile)
}

// allowed says whether a remote reference is one that the user allowed.
func (b *builder) allowed(ref string) bool {
	at := address(strings.TrimPrefix(ref, "git::"))
	return slices.ContainsFunc(b.allow, func(prefix string) bool {
		return strings.HasPrefix(at, strings.ToLower(strings.TrimSuffix(prefix, "*")))
	})
}

// lineOf finds the line of a file that names a reference.
func (b *builder) lineOf(name, ref string) int {
	data, err := readFile(b.tree, name, manifest.MaxFileSize)
	if err != nil || ref == "" {
		return 1
	}
	before, _, found := strings.Cut(string(data), ref)
	if _, rest, ok := strings.Cut(ref, "://"); ok && !found {
		before, _, found = strings.Cut(string(data), rest)
	}
	if !found {
		return 1
	}
	return 1 + strings.Count(before, "\n")
}

// kustomize renders a unit.
func (b *builder) kustomize(u *unit) (data []byte, err error) {
	files := &kustFS{tree: b.tree, over: map[string][]byte{}, seen: u.seen, clones: len(b.allow) > 0}
	if u.flux != nil {
		if err := b.generate(files, u); err != nil {
			return nil, err
		}
	}
	defer func() {
		// The library is not ours: a fault in it must not take the gate down.
		if r := recover(); r != nil {
			data, err = nil, fmt.Errorf("kustomize failed: %v", r)
		}
	}()
	options := krusty.MakeDefaultOptions()
	// As Flux does: what a path may reach is bounded by the tree.
	options.LoadRestrictions = types.LoadRestrictionsNone
	resources, err := krusty.MakeKustomizer(options).Run(files, path.Join(top, u.dir))
	if err != nil {
		return nil, err
	}
	return resources.AsYaml()
}

// generate makes the kustomization file that Flux builds: the one that is there, or one of all manifests, with what the
// Flux Kustomization adds.
func (b *builder) generate(files *kustFS, u *unit) error {
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
	files.over[file] = data
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
	for _, i := range s.Images {
		k.Images = slices.DeleteFunc(k.Images, func(other types.Image) bool { return other.Name == i.Name })
		k.Images = append(k.Images, types.Image{Name: i.Name, NewName: i.NewName, NewTag: i.NewTag, Digest: i.Digest})
	}
	for _, p := range s.Patches {
		k.Patches = append(k.Patches, types.Patch{Patch: p.Patch, Target: selector(p.Target)})
	}
	for _, c := range s.Components {
		if !slices.Contains(k.Components, c) {
			k.Components = append(k.Components, c)
		}
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
		if root == "." {
			return name
		}
		return strings.TrimPrefix(name, root+"/")
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
