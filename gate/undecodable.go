package gate

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	autov1 "github.com/fluxcd/image-automation-controller/api/v1"
	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/gate/sources"
)

// typed are the versions of Flux's APIs whose types are known here.
var typed = map[string]bool{
	kustomizev1.GroupVersion.String(): true, helmv2.GroupVersion.String(): true, imagev1.GroupVersion.String(): true,
	autov1.GroupVersion.String(): true, sourcev1.GroupVersion.String(): true,
}

// undecodable is the finding about an object that its API's type does not take. The API server refuses it, unless
// something fills it in first or its API is another version's.
func undecodable(o *sources.Object, err error) report.Finding {
	f := report.NoteAt(o.File, o.Line, err)
	var wrong *sources.FieldError
	if !typed[o.APIVersion] || !errors.As(err, &wrong) || strings.Contains(wrong.Text, "${") ||
		sources.Templated.MatchString(wrong.Text) {
		return f
	}
	f.Rule, f.Level, f.Subject = report.RuleObject, report.LevelError, o.String()
	f.Line = o.LineOfField(wrong.Field)
	f.Message = fmt.Sprintf("Kubernetes refuses %s: %s", o, wrong)
	if wrong.Text != "" && wrong.Want != nil && wrong.Want.Kind() == reflect.String {
		f.Fix = fmt.Sprintf("quote it: %q", wrong.Text)
	}
	return f
}
