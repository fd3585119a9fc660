// Package fleet is a company's GitOps repository and the objects in the cluster
// that go with it, for tests and the demo: three environments with two apps
// each, every image chosen by a policy that accepts only its environment's tags.
//
//	Git                                cluster
//	apps/develop/backend.yaml  ◄────── NAME-develop: ImageRepository, ImagePolicy and
//	apps/develop/frontend.yaml         ImageUpdateAutomation for apps/develop
//	apps/staging/…                     NAME-flux: GitRepository fleet with its Secret,
//	apps/production/…                  one Kustomization an environment
//
// New makes it as values; a test changes what it wants to be otherwise before
// it writes the files to Git and the objects to the cluster.
package fleet

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Options of a fleet.
type Options struct {
	// Name that begins the names of its namespaces, so that several fleets share a cluster.
	Name string
	// Environments, develop, staging and production when empty, and Apps in each of them, backend and frontend when empty.
	Environments, Apps []string
	// GitURL of the repository, and the login for its Secret; no Secret when Username is empty.
	GitURL, Username, Password string
	// Registry is where the images are: host:port, or with a path below it.
	Registry string
	// Registries are those of apps whose images are elsewhere.
	Registries map[string]string
	// Interval of sources, scans and automations; 1 s when zero.
	Interval time.Duration
	// ScanInterval of scans alone; Interval when zero.
	ScanInterval time.Duration
	// ApplyInterval of the Kustomizations, which also apply every new revision; 10 min when zero.
	ApplyInterval time.Duration
	// Wait has the Kustomizations wait until what they applied is healthy, at most for HealthTimeout, 90 s when zero.
	Wait          bool
	HealthTimeout time.Duration
	// Replicas of each Deployment; 1 when zero.
	Replicas int
}

// Fleet is what goes to Git and to the cluster.
type Fleet struct {
	Options
	// Files of the repository by path.
	Files map[string]string
	// Objects of the cluster, in the order of creation.
	Objects []client.Object
}

// Branch is the one that is deployed.
const Branch = "main"

// Author of what image automation commits.
const Author = "fluxcdbot"

// New makes a fleet in which every app runs its first image.
func New(o Options) *Fleet {
	if len(o.Environments) == 0 {
		o.Environments = []string{"develop", "staging", "production"}
	}
	if len(o.Apps) == 0 {
		o.Apps = []string{"backend", "frontend"}
	}
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	if o.ScanInterval == 0 {
		o.ScanInterval = o.Interval
	}
	if o.ApplyInterval == 0 {
		o.ApplyInterval = 10 * time.Minute
	}
	if o.HealthTimeout == 0 {
		o.HealthTimeout = 90 * time.Second
	}
	o.Replicas = max(o.Replicas, 1)
	f := &Fleet{Options: o, Files: map[string]string{"README.md": "# The fleet\n"}}
	f.Objects = append(f.Objects, namespace(f.FluxNamespace()))
	for _, env := range o.Environments {
		f.Objects = append(f.Objects, namespace(f.Namespace(env)))
	}
	f.Objects = append(f.Objects, f.source()...)
	for _, env := range o.Environments {
		f.Objects = append(f.Objects, f.kustomization(env), f.automation(env))
		for _, app := range o.Apps {
			f.Objects = append(f.Objects, f.imageRepository(env, app), f.imagePolicy(env, app))
			f.Files[f.File(env, app)] = f.Deployment(env, app)
		}
	}
	return f
}

func namespace(name string) client.Object {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// FluxNamespace holds the source and the Kustomizations.
func (f *Fleet) FluxNamespace() string { return f.Name + "-flux" }

// Namespace of an environment holds its workloads, policies and automation.
func (f *Fleet) Namespace(env string) string { return f.Name + "-" + env }

// Namespaces are all of this fleet.
func (f *Fleet) Namespaces() []string {
	all := []string{f.FluxNamespace()}
	for _, env := range f.Environments {
		all = append(all, f.Namespace(env))
	}
	return all
}

// Tag is the nth tag that an environment's policies accept; later ones are selected. 0 is the first.
func Tag(env string, n int) string {
	return fmt.Sprintf("%s-v1.%d.0-%d", env, n, 1700000000+n)
}

// Image is an app's image.
func (f *Fleet) Image(app, tag string) string { return f.repository(app) + ":" + tag }

func (f *Fleet) repository(app string) string {
	if registry, ok := f.Registries[app]; ok {
		return registry + "/" + app
	}
	return f.Registry + "/" + app
}

// File is the path of an app's manifest.
func (f *Fleet) File(env, app string) string { return "apps/" + env + "/" + app + ".yaml" }

// Marker is the comment by which image automation finds an app's image; part is empty, tag, name or digest.
func (f *Fleet) Marker(env, app, part string) string {
	if part != "" {
		part = ":" + part
	}
	return fmt.Sprintf(`# {"$imagepolicy": "%s:%s%s"}`, f.Namespace(env), app, part)
}

// Deployment is an app's manifest with its first image.
func (f *Fleet) Deployment(env, app string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[1]s
  namespace: %[2]s
  labels:
    tier: web
spec:
  replicas: %[3]d
  selector:
    matchLabels:
      app: %[1]s
  template:
    metadata:
      labels:
        app: %[1]s
    spec:
      containers:
        - name: %[1]s
          image: %[4]s %[5]s
`, app, f.Namespace(env), f.Replicas, f.Image(app, Tag(env, 0)), f.Marker(env, app, ""))
}

// Create writes all objects to the cluster.
func (f *Fleet) Create(ctx context.Context, c client.Client) error {
	for _, o := range f.Objects {
		if err := c.Create(ctx, o); err != nil {
			return fmt.Errorf("create %T %s/%s: %w", o, o.GetNamespace(), o.GetName(), err)
		}
	}
	return nil
}

// Get gives the object of a kind by its namespace and name, to be changed before Create; nil if absent.
func Get[T client.Object](f *Fleet, namespace, name string) T {
	var none T
	for _, o := range f.Objects {
		if t, ok := o.(T); ok && o.GetNamespace() == namespace && o.GetName() == name {
			return t
		}
	}
	return none
}

// Drop leaves objects out.
func (f *Fleet) Drop(which func(client.Object) bool) {
	f.Objects = slices.DeleteFunc(f.Objects, which)
}
