package flux

import (
	"fmt"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// objectID is what an entry of an inventory names.
type objectID struct{ Namespace, Name, Group, Kind string }

// String is the entry's form: <namespace>_<name>_<group>_<kind>.
func (id objectID) String() string {
	return id.Namespace + "_" + strings.ReplaceAll(id.Name, ":", "__") + "_" + id.Group + "_" + id.Kind
}

// parseID reads an entry's id as cli-utils' ObjMetadata writes it: the namespace ends at the first underscore, kind and
// group start after the last two, and a colon in the name (RBAC) is written as two underscores.
func parseID(s string) (objectID, error) {
	ns, rest, ok := strings.Cut(s, "_")
	last := strings.LastIndex(rest, "_")
	if !ok || last < 0 {
		return objectID{}, fmt.Errorf("inventory entry %q: want <namespace>_<name>_<group>_<kind>", s)
	}
	kind := rest[last+1:]
	rest = rest[:last]
	mid := strings.LastIndex(rest, "_")
	if mid < 0 {
		return objectID{}, fmt.Errorf("inventory entry %q: want <namespace>_<name>_<group>_<kind>", s)
	}
	return objectID{
		Namespace: ns, Name: strings.ReplaceAll(rest[:mid], "__", ":"), Group: rest[mid+1:], Kind: kind,
	}, nil
}

// entry is an object of an inventory and the version it was applied in.
type entry struct{ id, version string }

func kustomizeInventory(k *kustomizev1.Kustomization) []entry {
	if k.Status.Inventory == nil {
		return nil
	}
	return entriesOf(k.Status.Inventory.Entries, func(r kustomizev1.ResourceRef) entry { return entry{r.ID, r.Version} })
}

func helmInventory(hr *helmv2.HelmRelease) []entry {
	if hr.Status.Inventory == nil {
		return nil
	}
	return entriesOf(hr.Status.Inventory.Entries, func(r helmv2.ResourceRef) entry { return entry{r.ID, r.Version} })
}

func entriesOf[T any](refs []T, entryOf func(T) entry) []entry {
	out := make([]entry, 0, len(refs))
	for _, r := range refs {
		out = append(out, entryOf(r))
	}
	return out
}

// holdsObject reports whether an inventory holds the object. An entry that cannot be read holds nothing.
func holdsObject(entries []entry, want objectID) bool {
	for _, e := range entries {
		if id, err := parseID(e.id); err == nil && id == want {
			return true
		}
	}
	return false
}

// findKind looks for an object whose group is not known, and describes what kind it is.
func findKind(entries []entry, namespace, kind, name string) (schema.GroupVersionKind, bool) {
	for _, e := range entries {
		id, err := parseID(e.id)
		if err == nil && id.Namespace == namespace && id.Kind == kind && id.Name == name {
			return schema.GroupVersionKind{Group: id.Group, Version: e.version, Kind: kind}, true
		}
	}
	return schema.GroupVersionKind{}, false
}
