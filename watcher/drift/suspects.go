package drift

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Container is a container that Flux applies and whose image is not Flux's any more, as far as managedFields tell.
type Container struct {
	// Name and Image as the workload's template has them now.
	Name, Image string
	// By is the field manager that owns the image; empty where no entry says.
	By string
	// At is when that manager changed the object last; zero where no entry says.
	At time.Time
	// Unread explains why the owner is not known; empty when it is.
	Unread string
}

// Image is a container of a pod template and what it runs.
type Image struct{ Container, Image string }

// The groups whose labels Flux puts on what it applies. Labels can be forged: they only say where to look.
const (
	kustomize = "kustomize.toolkit.fluxcd.io/"
	helm      = "helm.toolkit.fluxcd.io/"
)

// OfFlux reports whether an object's labels name a Kustomization or a HelmRelease. What Flagger makes beside a Canary
// carries none.
func OfFlux(labels map[string]string) bool {
	return labels[kustomize+"name"] != "" || labels[helm+"name"] != ""
}

// LeftAlone reports whether Flux is told not to touch an object that exists: what differs there is wanted.
func LeftAlone(o metav1.Object) bool {
	for _, marks := range []map[string]string{o.GetLabels(), o.GetAnnotations()} {
		if strings.EqualFold(marks[kustomize+"reconcile"], "disabled") ||
			strings.EqualFold(marks[kustomize+"ssa"], "Ignore") ||
			strings.EqualFold(marks[kustomize+"ssa"], "IfNotPresent") {
			return true
		}
	}
	return false
}

// isFlux reports whether a field manager is one of Flux's that apply.
func isFlux(manager string) bool {
	switch manager {
	case "kustomize-controller", "helm-controller", "flux-operator":
		return true
	}
	return false
}

// ByHelm is the field manager of the helm command, as of helm rollback and helm upgrade by hand. What Helm does within
// helm-controller, such as its own rollback of a failed upgrade, is helm-controller's.
const ByHelm = "helm"

// beforeFirstApply is what the API server calls everybody whose entries are gone, Flux among them.
const beforeFirstApply = "before-first-apply"

// maxSuspects bounds what is kept of one workload.
const maxSuspects = 32

// Suspects lists the containers of a workload whose image somebody else than Flux owns; none for a workload that is
// not Flux's, that Flux leaves alone, or whose every image Flux owns.
func Suspects(kind string, o metav1.Object, images []Image) []Container {
	if !OfFlux(o.GetLabels()) || LeftAlone(o) {
		return nil
	}
	read := readManagers(kind, o.GetManagedFields())
	var out []Container
	for _, c := range images {
		if found, ok := read.suspect(c); ok && len(out) < maxSuspects {
			out = append(out, found)
		}
	}
	return out
}

// managers is what managedFields say of the containers of a pod template.
type managers struct {
	all []manager
	// unread explains why an entry could not be read; empty when all could.
	unread string
}

// manager is one entry: the containers of which it owns anything.
type manager struct {
	name       string
	at         time.Time
	containers []*fieldpath.Set
}

// templatePath leads to the pod's spec in a workload.
func templatePath(kind string) []string {
	if kind == "CronJob" {
		return []string{"spec", "jobTemplate", "spec", "template", "spec"}
	}
	return []string{"spec", "template", "spec"}
}

func readManagers(kind string, entries []metav1.ManagedFieldsEntry) managers {
	var out managers
	if len(entries) == 0 {
		out.unread = "the object has no managedFields"
	}
	for i := range entries {
		e := &entries[i]
		// Scaling and statuses have entries of their own, which never own an image.
		if e.Subresource != "" || e.FieldsV1 == nil {
			continue
		}
		set, err := parse(e.FieldsV1.GetRawBytes())
		if err != nil {
			out.unread = fmt.Sprintf("the managedFields entry of %s cannot be read: %s", word(e.Manager), word(err.Error()))
			continue
		}
		m := manager{name: word(e.Manager)}
		if e.Time != nil {
			m.at = e.Time.Time
		}
		for _, step := range templatePath(kind) {
			set = set.WithPrefix(field(step))
		}
		for _, list := range []string{"containers", "initContainers"} {
			if in := set.WithPrefix(field(list)); !in.Empty() {
				m.containers = append(m.containers, in)
			}
		}
		out.all = append(out.all, m)
	}
	return out
}

// maxFields bounds one entry; the whole object may have 1.5 MB in etcd.
const maxFields = 2 << 20

// parse reads the fields of an entry. The library panics on some input that the API server would not write.
func parse(raw []byte) (set *fieldpath.Set, err error) {
	defer func() {
		if p := recover(); p != nil {
			set, err = nil, fmt.Errorf("%v", p)
		}
	}()
	if len(raw) > maxFields {
		return nil, fmt.Errorf("it has %d bytes", len(raw))
	}
	set = &fieldpath.Set{}
	if err := set.FromJSON(bytes.NewReader(raw)); err != nil {
		return nil, err
	}
	return set, nil
}

func field(name string) fieldpath.PathElement { return fieldpath.PathElement{FieldName: &name} }

// owns reports whether the entry owns anything of a container, and its image.
func (m *manager) owns(container string) (any, image bool) {
	key := fieldpath.PathElement{Key: fieldpath.KeyByFields("name", container)}
	for _, list := range m.containers {
		of := list.WithPrefix(key)
		any = any || !of.Empty() || list.Members.Has(key)
		image = image || of.Members.Has(field("image"))
	}
	return any, image
}

// suspect judges one container. Where several own an image they agree on it: a change by one takes it from the others.
func (r *managers) suspect(c Image) (Container, bool) {
	out := Container{Name: c.Container, Image: c.Image}
	applied := r.unread != ""
	for i := range r.all {
		m := &r.all[i]
		any, image := m.owns(c.Container)
		switch {
		case isFlux(m.name) && image:
			return out, false
		case isFlux(m.name), m.name == beforeFirstApply:
			applied = applied || any
		case image && (out.By == "" || m.at.After(out.At)):
			out.By, out.At = m.name, m.at
		}
	}
	// A container that Flux never applied, such as a sidecar that an operator adds to the template, is not Git's.
	if !applied {
		return out, false
	}
	if out.By == "" {
		out.Unread = r.unread
		if out.Unread == "" {
			out.Unread = "no managedFields entry owns the image"
		}
	}
	return out, true
}

// word makes foreign text fit for a sentence: one line, not too long.
func word(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	runes := []rune(strings.Join(strings.Fields(s), " "))
	if len(runes) > 200 {
		runes = append(runes[:199], '…')
	}
	return string(runes)
}

// Equal reports whether two lists of suspects say the same, so that a mere status update wakes nobody.
func Equal(a, b []Container) bool {
	return slices.EqualFunc(a, b, func(x, y Container) bool {
		return x.Name == y.Name && x.Image == y.Image && x.By == y.By && x.At.Equal(y.At) && x.Unread == y.Unread
	})
}
