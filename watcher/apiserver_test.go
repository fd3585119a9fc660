package watcher

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// apiServer answers as an API server does, without a network, so that tests can stop the clock: get, list, watch with
// selectors, create and update. The real clients of the package talk to it.
type apiServer struct {
	mu      sync.Mutex
	version int
	objects map[string]object
	watches map[*stream]bool
	// refuse maps a resource, or a path, to the status code that it answers with.
	refuse map[string]int
	asked  []string
	// delay maps a resource to how long its answers take.
	delay map[string]time.Duration
}

type object = map[string]any

// resources maps what a path names to its kind.
func resources() map[string]string {
	return map[string]string{
		"pods": "Pod", "nodes": "Node", "namespaces": "Namespace", "deployments": "Deployment", "replicasets": "ReplicaSet",
		"statefulsets": "StatefulSet", "daemonsets": "DaemonSet", "jobs": "Job", "cronjobs": "CronJob", "leases": "Lease", "controllerrevisions": "ControllerRevision",
		"rollbacks": "Rollback", "rollbackpolicies": "RollbackPolicy", "imagepolicies": "ImagePolicy",
		"imageupdateautomations": "ImageUpdateAutomation", "gitrepositories": "GitRepository",
		"kustomizations": "Kustomization", "helmreleases": "HelmRelease",
		"canaries": "Canary", "rollouts": "Rollout", "analysisruns": "AnalysisRun", "events": "Event",
	}
}

func newAPIServer(t *testing.T, objects ...runtime.Object) *apiServer {
	t.Helper()
	s := &apiServer{objects: map[string]object{}, watches: map[*stream]bool{}, refuse: map[string]int{}, delay: map[string]time.Duration{}}
	for _, o := range objects {
		s.put(t, o)
	}
	return s
}

func (s *apiServer) config() *rest.Config {
	return &rest.Config{Host: "http://api.test", Transport: s}
}

func (s *apiServer) clients(t *testing.T) Clients {
	t.Helper()
	c, err := Connect(s.config())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// put creates or replaces an object, which needs its TypeMeta.
func (s *apiServer) put(t *testing.T, o runtime.Object) {
	t.Helper()
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var m object
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store(m)
}

func (s *apiServer) store(m object) object {
	s.version++
	meta, _ := m["metadata"].(object)
	meta["resourceVersion"] = strconv.Itoa(s.version)
	id := idOf(m)
	before := s.objects[id]
	s.objects[id] = m
	for w := range s.watches {
		switch was, is := before != nil && w.wants(before), w.wants(m); {
		case was && is:
			w.send("MODIFIED", m)
		case is:
			w.send("ADDED", m)
		case was:
			w.send("DELETED", m)
		}
	}
	return m
}

func (s *apiServer) remove(kind, namespace, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := kind + "/" + namespace + "/" + name
	for w := range s.watches {
		if w.wants(s.objects[id]) {
			w.send("DELETED", s.objects[id])
		}
	}
	delete(s.objects, id)
}

// forbid makes a resource or path answer with a status code; zero lets it answer again.
func (s *apiServer) forbid(what string, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse[what] = code
}

// slow makes the answers about a resource take their time.
func (s *apiServer) slow(resource string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay[resource] = d
}

func (s *apiServer) requests(part string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.asked {
		if strings.Contains(r, part) {
			n++
		}
	}
	return n
}

// get reads a Lease or another object back.
func (s *apiServer) get(kind, namespace, name string) object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[kind+"/"+namespace+"/"+name]
}

func idOf(m object) string {
	return fmt.Sprintf("%s/%s/%s", m["kind"], field(m, "metadata", "namespace"), field(m, "metadata", "name"))
}

func field(m object, path ...string) string {
	for _, p := range path[:len(path)-1] {
		m, _ = m[p].(object)
	}
	v, _ := m[path[len(path)-1]].(string)
	return v
}

// RoundTrip answers one request.
func (s *apiServer) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	namespace, resource, name := parse(r.URL.Path)
	s.mu.Lock()
	delay := s.delay[resource]
	s.mu.Unlock()
	time.Sleep(delay)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.Method+" "+r.URL.Path+"?"+r.URL.RawQuery)
	code := s.refuse[resource]
	if c := s.refuse[r.URL.Path]; c != 0 {
		code = c
	}
	if code != 0 {
		return failure(code), nil
	}
	kind := resources()[resource]
	switch {
	case r.Method == http.MethodPost || r.Method == http.MethodPut:
		return s.write(r, kind, namespace)
	case name != "":
		if o, ok := s.objects[kind+"/"+namespace+"/"+name]; ok {
			return answer(o), nil
		}
		return failure(http.StatusNotFound), nil
	case r.URL.Query().Get("watch") == "true":
		return s.watch(r.Context(), kind, namespace, r.URL.Query()), nil
	}
	return s.list(kind, namespace, r), nil
}

func parse(path string) (namespace, resource, name string) {
	p := strings.Split(strings.Trim(path, "/"), "/")
	if p[0] == "api" {
		p = p[2:]
	} else {
		p = p[3:]
	}
	if p[0] == "namespaces" && len(p) > 2 {
		namespace, p = p[1], p[2:]
	}
	if len(p) > 1 {
		name = p[1]
	}
	return namespace, p[0], name
}

func (s *apiServer) write(r *http.Request, kind, namespace string) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	o, gvk, err := clientscheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
	if err != nil {
		return nil, err
	}
	o.GetObjectKind().SetGroupVersionKind(*gvk)
	raw, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	var m object
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	before, ok := s.objects[kind+"/"+namespace+"/"+field(m, "metadata", "name")]
	switch {
	case ok && r.Method == http.MethodPost,
		ok && field(before, "metadata", "resourceVersion") != field(m, "metadata", "resourceVersion"):
		return failure(http.StatusConflict), nil
	}
	return answer(s.store(m)), nil
}

// selected lists the objects of a selection in the order of their names.
func (s *apiServer) selected(w *stream) []object {
	var out []object
	for _, id := range slices.Sorted(maps.Keys(s.objects)) {
		if w.wants(s.objects[id]) {
			out = append(out, s.objects[id])
		}
	}
	return out
}

// list answers in pages of the size that is asked for; the token is the number of what was given.
func (s *apiServer) list(kind, namespace string, r *http.Request) *http.Response {
	q := r.URL.Query()
	items := s.selected(&stream{kind: kind, namespace: namespace, query: q})
	meta := object{"resourceVersion": strconv.Itoa(s.version)}
	from, _ := strconv.Atoi(q.Get("continue"))
	items = items[min(from, len(items)):]
	if limit, _ := strconv.Atoi(q.Get("limit")); limit > 0 && len(items) > limit {
		items = items[:limit]
		meta["continue"] = strconv.Itoa(from + limit)
	}
	version := "v1"
	if p := strings.Split(strings.Trim(r.URL.Path, "/"), "/"); p[0] == "apis" {
		version = p[1] + "/" + p[2]
	}
	return answer(object{"kind": kind + "List", "apiVersion": version, "metadata": meta, "items": items})
}

func (s *apiServer) watch(ctx context.Context, kind, namespace string, q url.Values) *http.Response {
	w := &stream{
		kind: kind, namespace: namespace, query: q, ctx: ctx,
		events: make(chan []byte, 10000), closed: make(chan struct{}),
		leave: func(w *stream) {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.watches, w)
		},
	}
	if q.Get("sendInitialEvents") == "true" {
		for _, o := range s.selected(w) {
			w.send("ADDED", o)
		}
		w.send("BOOKMARK", object{"kind": kind, "apiVersion": s.apiVersion(kind), "metadata": object{
			"resourceVersion": strconv.Itoa(s.version), "annotations": object{metav1.InitialEventsAnnotationKey: "true"},
		}})
	}
	s.watches[w] = true
	return &http.Response{StatusCode: http.StatusOK, Header: jsonHeader(), Body: w}
}

func (s *apiServer) apiVersion(kind string) string {
	switch kind {
	case "Pod", "Namespace":
		return "v1"
	case "Deployment", "StatefulSet", "DaemonSet":
		return "apps/v1"
	case "Rollback", "RollbackPolicy":
		return "backstop.dev/v1alpha1"
	case "HelmRelease":
		return "helm.toolkit.fluxcd.io/v2"
	case "GitRepository":
		return "source.toolkit.fluxcd.io/v1"
	case "Kustomization":
		return "kustomize.toolkit.fluxcd.io/v1"
	}
	return "image.toolkit.fluxcd.io/v1"
}

// breakWatches ends every watch, as an API server that goes away does.
func (s *apiServer) breakWatches() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watches {
		close(w.events)
		delete(s.watches, w)
	}
}

func jsonHeader() http.Header { return http.Header{"Content-Type": {"application/json"}} }

func answer(o object) *http.Response {
	raw, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: jsonHeader(), Body: io.NopCloser(bytes.NewReader(raw))}
}

func failure(code int) *http.Response {
	reason := map[int]metav1.StatusReason{
		http.StatusNotFound: metav1.StatusReasonNotFound, http.StatusForbidden: metav1.StatusReasonForbidden,
		http.StatusConflict: metav1.StatusReasonConflict, http.StatusInternalServerError: metav1.StatusReasonInternalError,
	}[code]
	raw, _ := json.Marshal(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
		Reason: reason, Code: int32(code), Message: http.StatusText(code),
	})
	return &http.Response{StatusCode: code, Header: jsonHeader(), Body: io.NopCloser(bytes.NewReader(raw))}
}
