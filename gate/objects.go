package gate

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"reflect"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	autov1 "github.com/fluxcd/image-automation-controller/api/v1"
	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"go.yaml.in/yaml/v3"
)

// typed are the versions of Flux's APIs whose types are known here.
var typed = map[string]bool{
	kustomizev1.GroupVersion.String(): true, helmv2.GroupVersion.String(): true, imagev1.GroupVersion.String(): true,
	autov1.GroupVersion.String(): true, sourcev1.GroupVersion.String(): true,
}

// undecodable is the finding about an object that its API's type does not take. The API server refuses it, unless
// something fills it in first or its API is another version's.
func undecodable(o *object, err error) Finding {
	f := noteAt(o.file, o.line, err)
	var wrong *fieldError
	if !typed[o.apiVersion] || !errors.As(err, &wrong) || strings.Contains(wrong.text, "${") ||
		templated.MatchString(wrong.text) {
		return f
	}
	f.Rule, f.Level, f.subject = RuleObject, LevelError, o.String()
	f.Line = o.lineOfField(wrong.field)
	f.Message = fmt.Sprintf("Kubernetes refuses %s: %s", o, wrong)
	if wrong.text != "" && wrong.want != nil && wrong.want.Kind() == reflect.String {
		f.Fix = fmt.Sprintf("quote it: %q", wrong.text)
	}
	return f
}

// fieldError is a field of an object that has another type than the API wants.
type fieldError struct {
	// field is its path; text its value where that is a scalar, is what kind of value it is.
	field, text, is string
	want            reflect.Type
}

func (e *fieldError) Error() string {
	want := "another type"
	if e.want != nil {
		switch e.want.Kind() {
		case reflect.String:
			want = "text"
		case reflect.Bool:
			want = "true or false"
		case reflect.Int, reflect.Int32, reflect.Int64, reflect.Float64:
			want = "a number"
		case reflect.Slice:
			want = "a list"
		case reflect.Struct, reflect.Map:
			want = "a mapping"
		default:
		}
	}
	is := map[string]string{"array": "a list", "object": "a mapping", "bool": "true or false", "string": "text"}[e.is]
	if is == "" {
		is = "a " + e.is
	}
	if e.text != "" {
		is = e.text + ", " + is
	}
	return fmt.Sprintf("%s is %s, and has to be %s", cmp.Or(e.field, "it"), is, want)
}

// lineOfField finds the line of a field that is named as in spec.images.newTag, in any item of a list; that of the
// object where it is not found.
func (o *object) lineOfField(field string) int {
	if n := fieldOf(o.root, strings.Split(field, "."), nil); n != nil {
		return n.Line
	}
	return o.line
}

// fieldOf finds the first scalar at a path of keys that fits, through lists.
func fieldOf(n *yaml.Node, keys []string, fits func(*yaml.Node) bool) *yaml.Node {
	switch {
	case n == nil:
		return nil
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			if found := fieldOf(item, keys, fits); found != nil {
				return found
			}
		}
		return nil
	case len(keys) == 0:
		if fits == nil || fits(n) {
			return n
		}
		return nil
	}
	return fieldOf(valueOf(n, keys[0]), keys[1:], fits)
}

// checkSources reads the sources of Flux as their CRDs type them.
func (m *model) checkSources() {
	for _, p := range m.placedObjects() {
		if p.group() != path.Dir(sourcev1.GroupVersion.String()) {
			continue
		}
		switch p.kind {
		case sourcev1.OCIRepositoryKind:
			m.decode(&p.object, &sourcev1.OCIRepository{})
		case sourcev1.GitRepositoryKind:
			m.decode(&p.object, &sourcev1.GitRepository{})
		case sourcev1.HelmRepositoryKind:
			m.decode(&p.object, &sourcev1.HelmRepository{})
		case sourcev1.HelmChartKind:
			m.decode(&p.object, &sourcev1.HelmChart{})
		case sourcev1.BucketKind:
			m.decode(&p.object, &sourcev1.Bucket{})
		}
	}
}
