package doctor

import (
	authv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/trace"
)

// Sight is what decides which triggers see a workload fail.
type Sight struct {
	// Analysed means that it is a Rollout of Argo whose updates an analysis judges.
	Analysed bool
	// Judge is the Canary or Rollout that judges its updates; nil where nothing does. MayJudge reports whether Backstop
	// may list that kind; nil where nobody can tell.
	Judge    *trace.Canary
	MayJudge *bool
	// Unprobed are its containers without a readiness probe.
	Unprobed []string
	// Paused means that its new revisions do not begin, Forgets that it keeps no former one, Idle that it wants no pods.
	Paused, Forgets, Idle bool
	// Partition is the ordinal from which on alone a StatefulSet is updated.
	Partition int64
	// MayNot is what Backstop has to be allowed for it, and is not.
	MayNot []string
}

// rolls reads how a workload rolls a new revision out.
func (s *Sight) rolls(o *unstructured.Unstructured) {
	number := func(path ...string) (int64, bool) {
		n, found, err := unstructured.NestedInt64(o.Object, path...)
		return n, found && err == nil
	}
	s.Paused, _, _ = unstructured.NestedBool(o.Object, "spec", "paused")
	s.Partition, _ = number("spec", "updateStrategy", "rollingUpdate", "partition")
	kept, told := number("spec", "revisionHistoryLimit")
	s.Forgets = told && kept == 0 && o.GetKind() == workload.Deployment
	replicas, told := number("spec", "replicas")
	s.Idle = told && replicas == 0
}

// needed is what Backstop has to be allowed in order to see that a new revision of a kind fails.
func needed(kind string) []authv1.ResourceAttributes {
	revisions := authv1.ResourceAttributes{Verb: "list", Group: "apps", Resource: "controllerrevisions"}
	switch {
	case !rolls[kind]:
		return nil
	case kind == workload.Deployment:
		revisions.Resource = "replicasets"
	}
	return []authv1.ResourceAttributes{{Verb: "list", Resource: "pods"}, revisions, {Verb: "watch", Resource: "events"}}
}

// rolls are the kinds whose new revisions are looked at.
var rolls = map[string]bool{workload.Deployment: true, workload.StatefulSet: true, workload.DaemonSet: true}
