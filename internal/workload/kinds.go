// Package workload knows the kinds of objects that make pods from a template: their names, where the template stands,
// and what tells its revisions apart. A further kind, such as a controller's of its own, is a row of the table.
package workload

import (
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The kinds that more is known of than their row says.
const (
	Deployment  = "Deployment"
	ReplicaSet  = "ReplicaSet"
	StatefulSet = "StatefulSet"
	DaemonSet   = "DaemonSet"
	CronJob     = "CronJob"
	Job         = "Job"
	Pod         = "Pod"
	Rollout     = "Rollout"
	CloneSet    = "CloneSet"
)

// Kind is a kind of object that makes pods.
type Kind struct {
	schema.GroupVersionKind
	// Resource is its plural, Names what people type beside both, shortest first.
	Resource string
	Names    []string
	// Template is where the pod template stands.
	Template []string
	// Revision is where the object says the revision of its template; nil where nothing does.
	Revision []string
	// Made means that another workload usually makes it: a ReplicaSet, a Job. People name that one.
	Made bool
	// Role is the component of deploy/kustomize that lets Backstop read the kind; empty where the base does.
	Role string
}

var (
	podTemplate    = []string{"spec", "template"}
	updateRevision = []string{"status", "updateRevision"}
)

// kinds is the table, in the order in which people are told of them.
var kinds = []Kind{
	{
		GroupVersionKind: appsv1.SchemeGroupVersion.WithKind(Deployment), Resource: "deployments", Names: []string{"deploy"},
		Template: podTemplate, Revision: []string{"metadata", "annotations", "deployment.kubernetes.io/revision"},
	},
	{
		GroupVersionKind: appsv1.SchemeGroupVersion.WithKind(StatefulSet), Resource: "statefulsets", Names: []string{"sts"},
		Template: podTemplate, Revision: updateRevision,
	},
	{
		GroupVersionKind: appsv1.SchemeGroupVersion.WithKind(DaemonSet), Resource: "daemonsets", Names: []string{"ds"},
		Template: podTemplate, Revision: []string{"metadata", "annotations", appsv1.DeprecatedTemplateGeneration},
	},
	{
		GroupVersionKind: batchv1.SchemeGroupVersion.WithKind(CronJob), Resource: "cronjobs", Names: []string{"cj"},
		Template: []string{"spec", "jobTemplate", "spec", "template"},
	},
	{
		GroupVersionKind: appsv1.SchemeGroupVersion.WithKind(ReplicaSet), Resource: "replicasets", Names: []string{"rs"},
		Template: podTemplate, Revision: []string{"metadata", "annotations", "deployment.kubernetes.io/revision"}, Made: true,
	},
	{
		GroupVersionKind: batchv1.SchemeGroupVersion.WithKind(Job), Resource: "jobs",
		Template: podTemplate, Revision: []string{"metadata", "uid"}, Made: true,
	},
	{
		GroupVersionKind: schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: Rollout},
		Resource:         "rollouts",
		Names:            []string{"ro"}, Template: podTemplate, Revision: []string{"status", "currentPodHash"},
		Role: "argo-rollouts",
	},
	{
		GroupVersionKind: schema.GroupVersionKind{Group: "apps.kruise.io", Version: "v1alpha1", Kind: CloneSet},
		Resource:         "clonesets",
		Names:            []string{"clone"}, Template: podTemplate, Revision: updateRevision, Role: "openkruise",
	},
}

// Kinds are all kinds.
func Kinds() []Kind { return slices.Clone(kinds) }

// Own are the kinds that people name and that no other workload makes.
func Own() []Kind { return slices.DeleteFunc(Kinds(), func(k Kind) bool { return k.Made }) }

// Builtin reports whether every cluster has the kind.
func (k Kind) Builtin() bool { return k.Role == "" }

// Of is the row of a kind; false if absent.
func Of(kind string) (Kind, bool) {
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Kind == kind })
	if i < 0 {
		return Kind{}, false
	}
	return kinds[i], true
}

// Named is the kind that people mean by a word, as kubectl takes it: deploy, deployment, deployments.apps.
func Named(word string) (Kind, bool) {
	word, group, qualified := strings.Cut(strings.ToLower(word), ".")
	for _, k := range kinds {
		named := word == strings.ToLower(k.Kind) || word == k.Resource || slices.Contains(k.Names, word)
		if named && !k.Made && (!qualified || group == k.Group || strings.HasSuffix(group, "."+k.Group)) {
			return k, true
		}
	}
	return Kind{}, false
}

// Short is how people type the kind.
func (k Kind) Short() string {
	if len(k.Names) > 0 {
		return k.Names[0]
	}
	return strings.ToLower(k.Kind)
}

// APIVersion of a kind, that of a bare Pod too; empty where the kind is not known.
func APIVersion(kind string) string {
	if kind == Pod {
		return "v1"
	}
	k, _ := Of(kind)
	return k.GroupVersion().String()
}
