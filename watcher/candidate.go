package watcher

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// candidate gathers what is known of an update.
type candidate struct {
	*look
	pods   *Pods
	object *unstructured.Unstructured
	facts  *trigger.CanaryFacts
	holder *holder
	// made names what made the pods of the update, and former those of what was promoted before.
	made, former func(*corev1.Pod) bool
}

const primary = "-primary"
