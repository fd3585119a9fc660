package kube

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Unreadable is an object that the API server stores and that cannot be decoded: a newer or another version of its API
// wrote it. It is an error for whoever needs this object, and nothing to the others.
type Unreadable struct {
	Ref v1alpha1.ObjectRef
	// ResourceVersion that was read; empty where that is not known.
	ResourceVersion string
	// Err names the field.
	Err error
}

func (u *Unreadable) Error() string {
	return fmt.Sprintf("%s cannot be read: %v: another version of its API wrote it, or its CRD does not fit this "+
		"version of Backstop", u.Ref, u.Err)
}

func (u *Unreadable) Unwrap() error { return u.Err }

// Unreadables are the objects that cannot be decoded now. A nil one keeps nothing.
type Unreadables struct {
	// Log says each of them once; nil for not at all.
	Log *slog.Logger
	// Tell is called once for each; nil for nobody.
	Tell func(*Unreadable)

	mu  sync.Mutex
	all map[v1alpha1.ObjectRef]*Unreadable
	// said is what was said of an object, until it can be read again.
	said map[v1alpha1.ObjectRef]string
}

// Add remembers an object.
func (s *Unreadables) Add(u *Unreadable) {
	if s == nil {
		return
	}
	s.mu.Lock()
	if s.all == nil {
		s.all, s.said = map[v1alpha1.ObjectRef]*Unreadable{}, map[v1alpha1.ObjectRef]string{}
	}
	why := u.Err.Error()
	known := s.said[u.Ref] == why
	s.all[u.Ref], s.said[u.Ref] = u, why
	s.mu.Unlock()
	if known {
		return
	}
	if s.Log != nil {
		s.Log.Error("an object cannot be read and is left out", "kind", u.Ref.Kind, "namespace", u.Ref.Namespace,
			"name", u.Ref.Name, "error", u.Err)
	}
	if s.Tell != nil {
		s.Tell(u)
	}
}

// Readable forgets an object that was decoded, or is gone.
func (s *Unreadables) Readable(ref v1alpha1.ObjectRef) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.said[ref]; ok {
		delete(s.all, ref)
		delete(s.said, ref)
		if s.Log != nil {
			s.Log.Info("an object can be read again", "kind", ref.Kind, "namespace", ref.Namespace, "name", ref.Name)
		}
	}
}

// Moved forgets an object of which another version was seen: whoever needs it will read it again.
func (s *Unreadables) Moved(ref v1alpha1.ObjectRef, resourceVersion string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if u, ok := s.all[ref]; ok && u.ResourceVersion != resourceVersion {
		delete(s.all, ref)
	}
}

// List gives them in order.
func (s *Unreadables) List() []*Unreadable {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*Unreadable, 0, len(s.all))
	for _, u := range s.all {
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b *Unreadable) int { return cmp.Compare(a.Ref.String(), b.Ref.String()) })
	return out
}

var unreadableDesc = prometheus.NewDesc("backstop_unreadable_objects",
	"Objects that cannot be decoded and are left out, by kind.", []string{"kind"}, nil)

// Describe is prometheus.Collector's.
func (s *Unreadables) Describe(ch chan<- *prometheus.Desc) { ch <- unreadableDesc }

// Collect is prometheus.Collector's. The kinds that matter most are there at zero, so that an alert sees the first.
func (s *Unreadables) Collect(ch chan<- prometheus.Metric) {
	count := map[string]int{"Rollback": 0, "RollbackPolicy": 0}
	for _, kind := range fluxKinds() {
		count[kind] = 0
	}
	for _, u := range s.List() {
		count[u.Ref.Kind]++
	}
	for kind, n := range count {
		ch <- prometheus.MustNewConstMetric(unreadableDesc, prometheus.GaugeValue, float64(n), kind)
	}
}

func fluxKinds() []string {
	return []string{"GitRepository", "HelmRelease", "ImagePolicy", "ImageRepository", "ImageUpdateAutomation",
		"Kustomization"}
}
