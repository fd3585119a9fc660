package render

import (
	"bytes"
	"errors"
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// The bounds of what is made of a folder: kustomize reads a file again for each place that names it, so that a few
// short kustomizations can stand for more than there is memory.
const (
	maxBuilt   = 32 << 20
	maxObjects = 10_000
)

// ErrTooMuch means that a folder makes more than is rendered.
var ErrTooMuch = errors.New("what is rendered would be more than 32 MiB or 10000 objects")

// weight is how much a file or folder makes, at most.
type weight struct{ bytes, objects int }

func (w *weight) add(more weight) {
	w.bytes = min(w.bytes+more.bytes, maxBuilt+1)
	w.objects = min(w.objects+more.objects, maxObjects+1)
}

// scales weighs a folder before it is built. What is weighed once is not read again, however often it is named.
type scales struct {
	*Folder
	known map[string]weight
}

// weigh refuses a folder that makes too much. What kustomize cannot read weighs nothing: it says so itself.
func (f *Folder) weigh() error {
	s := scales{Folder: f, known: map[string]weight{}}
	if w := s.folder(f.dir); w.bytes > maxBuilt || w.objects > maxObjects {
		return ErrTooMuch
	}
	return nil
}

// at weighs what a kustomization names.
func (s *scales) at(dir, ref string) weight {
	name := path.Join(dir, ref)
	mode, err := s.files.mode(name)
	switch {
	case err != nil || path.IsAbs(ref):
		return weight{}
	case mode.IsDir():
		return s.folder(name)
	}
	return s.file(name)
}

// object is where a document describes what kind it is, one in a List too.
var object = regexp.MustCompile(`(?m)^ {0,4}(?:- )?"?kind"?:`)

func (s *scales) file(name string) weight {
	if w, ok := s.known[name]; ok {
		return w
	}
	data, err := manifest.ReadFile(s.files, name)
	if err != nil {
		return weight{}
	}
	w := weight{len(data), max(1, len(object.FindAllIndex(data, -1)))}
	if strings.HasSuffix(name, ".json") {
		w.objects = max(1, bytes.Count(data, []byte(`"kind"`)))
	}
	s.known[name] = w
	return w
}

func (s *scales) folder(dir string) weight {
	if w, ok := s.known[dir]; ok {
		return w
	}
	s.known[dir] = weight{} // a circle ends here, and kustomize refuses it
	var w weight
	for _, base := range manifest.Kustomizations {
		data, err := manifest.ReadFile(s.files, path.Join(dir, base))
		if err != nil {
			continue
		}
		var k types.Kustomization
		if yaml.Unmarshal(data, &k) == nil {
			k.FixKustomization()
			w = s.kustomization(dir, &k)
			w.add(weight{bytes: len(data)})
		}
		break
	}
	s.known[dir] = w
	return w
}

func (s *scales) kustomization(dir string, k *types.Kustomization) weight {
	var w weight
	for _, ref := range slices.Concat(k.Resources, k.Components, k.Generators) {
		w.add(s.at(dir, ref))
	}
	for _, entry := range k.Generators {
		w.add(s.plugged[dir+"\x00"+entry])
	}
	for _, g := range k.ConfigMapGenerator {
		w.add(s.generator(dir, g.KvPairSources))
	}
	for _, g := range k.SecretGenerator {
		w.add(s.generator(dir, g.KvPairSources))
	}
	// What is given to every object.
	each := 0
	for _, entry := range slices.Concat(k.Transformers, k.Validators) {
		each += s.plugged[dir+"\x00"+entry].bytes
	}
	//nolint:staticcheck // old fields are read as kustomize reads them
	for _, pairs := range append([]map[string]string{k.CommonLabels, k.CommonAnnotations}, labelsOf(k)...) {
		for key, value := range pairs {
			each += len(key) + len(value)
		}
	}
	each += len(k.NamePrefix) + len(k.NameSuffix) + len(k.Namespace)
	//nolint:staticcheck // old fields are read as kustomize reads them
	for _, p := range slices.Concat(k.Patches, k.PatchesJson6902) {
		size := len(p.Patch)
		if p.Path != "" {
			size = s.at(dir, p.Path).bytes
		}
		if p.Target == nil || p.Target.Name != "" && regexp.QuoteMeta(p.Target.Name) == p.Target.Name {
			w.add(weight{bytes: size})
			continue
		}
		each += size
	}
	for _, r := range k.Replacements {
		if r.Path != "" {
			w.add(weight{bytes: s.at(dir, r.Path).bytes})
		}
	}
	w.add(weight{bytes: min(each, maxBuilt) * w.objects})
	return w
}

func labelsOf(k *types.Kustomization) []map[string]string {
	out := make([]map[string]string, len(k.Labels))
	for i, l := range k.Labels {
		out[i] = l.Pairs
	}
	return out
}

// named weighs the files that a configuration names anywhere, as file or key=file, each as often as it stands there.
func (s *scales) named(dir string, config any) weight {
	var w weight
	switch v := config.(type) {
	case map[string]any:
		for _, value := range v {
			w.add(s.named(dir, value))
		}
	case []any:
		for _, item := range v {
			w.add(s.named(dir, item))
		}
	case string:
		if _, file, is := strings.Cut(v, "="); is {
			v = file
		}
		if name := path.Join(dir, v); v != "" && len(v) < maxRef && !path.IsAbs(v) {
			if mode, err := s.files.mode(name); err == nil && mode.IsRegular() {
				w.add(weight{bytes: s.file(name).bytes})
			}
		}
	}
	return w
}

// maxRef is longer than the reference to any file.
const maxRef = 4096

// generator weighs what an object is made of.
func (s *scales) generator(dir string, from types.KvPairSources) weight {
	w := weight{objects: 1}
	for _, ref := range slices.Concat(from.FileSources, from.EnvSources, []string{from.EnvSource}) {
		if _, file, named := strings.Cut(ref, "="); named {
			ref = file
		}
		if ref != "" {
			w.add(weight{bytes: s.at(dir, ref).bytes})
		}
	}
	return w
}
