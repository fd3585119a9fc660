package alerts

import (
	"encoding/json"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// kinds are the objects whose events wake something.
var kinds = []string{"Kustomization", "HelmRelease", "GitRepository", "ImageUpdateAutomation", "ImagePolicy"}

// fluxGroups is how the API groups of these kinds end: kinds of others may have their names.
const fluxGroups = ".toolkit.fluxcd.io"

// object reads which object an event is about; nil if it wakes nothing, and false where it is no
// event. Nothing else of the body is looked at: v1beta1 and v1 of the event differ in the rest, and a field of another
// type than expected is no reason to lose the event.
func object(raw []byte) (*v1alpha1.ObjectRef, bool) {
	var event struct {
		InvolvedObject, Regarding json.RawMessage
	}
	if err := json.Unmarshal(raw, &event); err != nil {
		return nil, false
	}
	var about struct {
		APIVersion, Kind, Namespace, Name string
	}
	for _, part := range []json.RawMessage{event.InvolvedObject, event.Regarding} {
		if len(part) > 0 && json.Unmarshal(part, &about) == nil && about.Name != "" {
			break
		}
	}
	if about.Kind == "" || about.Name == "" {
		return nil, false
	}
	if !slices.Contains(kinds, about.Kind) || !flux(about.APIVersion) || !named(about.Namespace, about.Name) {
		return nil, true
	}
	return &v1alpha1.ObjectRef{Kind: about.Kind, Namespace: about.Namespace, Name: about.Name}, true
}

// flux reports whether an API version is one of Flux's; one that is not told is taken for it.
func flux(apiVersion string) bool {
	group, _, _ := strings.Cut(apiVersion, "/")
	return apiVersion == "" || strings.HasSuffix(group, fluxGroups)
}

// named reports whether an object can have these names.
func named(namespace, name string) bool {
	return len(validation.IsDNS1123Label(namespace)) == 0 && len(validation.IsDNS1123Subdomain(name)) == 0
}
