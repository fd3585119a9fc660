package drift

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Revision is one template that a workload had.
type Revision struct {
	// Name of what keeps it.
	Name string
	// Ready pods that it has, where that is kept.
	Ready int32
	// Number orders the revisions: the newest has the greatest.
	Number int64
	// Before are numbers that it had when it was the newest earlier, oldest first.
	Before []int64
	// Made is when the template was first seen.
	Made time.Time
	// Images by container.
	Images map[string]string
}

// History is the templates that a workload had, newest first.
type History struct {
	Revisions []Revision
	// Of names what keeps them: ReplicaSets or ControllerRevisions; empty for a kind that keeps none.
	Of string
	// Unread describes what could not be read; empty when everything could.
	Unread string
}

// The annotations by which the deployment controller counts.
const (
	annotationRevision = "deployment.kubernetes.io/revision"
	annotationHistory  = "deployment.kubernetes.io/revision-history"
)

// ReplicaSets reads the history of a Deployment.
func ReplicaSets(deployment types.UID, all []appsv1.ReplicaSet) History {
	h := History{Of: "ReplicaSets"}
	for i := range all {
		rs := &all[i]
		if owner := metav1.GetControllerOf(rs); owner == nil || owner.UID != deployment {
			continue
		}
		n, err := strconv.ParseInt(rs.Annotations[annotationRevision], 10, 64)
		if err != nil {
			h.Unread = fmt.Sprintf("ReplicaSet %s has no revision number", rs.Name)
			continue
		}
		r := Revision{
			Name: rs.Name, Ready: rs.Status.ReadyReplicas,
			Number: n, Made: rs.CreationTimestamp.Time, Images: imagesOf(&rs.Spec.Template.Spec),
		}
		for before := range strings.SplitSeq(rs.Annotations[annotationHistory], ",") {
			if b, err := strconv.ParseInt(before, 10, 64); err == nil {
				r.Before = append(r.Before, b)
			}
		}
		h.Revisions = append(h.Revisions, r)
	}
	return h.sorted()
}

// ControllerRevisions reads the history of a StatefulSet or a DaemonSet.
func ControllerRevisions(set types.UID, all []appsv1.ControllerRevision) History {
	h := History{Of: "ControllerRevisions"}
	for i := range all {
		cr := &all[i]
		if owner := metav1.GetControllerOf(cr); owner == nil || owner.UID != set {
			continue
		}
		var data struct {
			Spec struct{ Template corev1.PodTemplateSpec }
		}
		if err := json.Unmarshal(cr.Data.Raw, &data); err != nil {
			h.Unread = fmt.Sprintf("ControllerRevision %s cannot be read: %s", cr.Name, word(err.Error()))
			continue
		}
		h.Revisions = append(h.Revisions, Revision{
			Name: cr.Name, Number: cr.Revision, Made: cr.CreationTimestamp.Time, Images: imagesOf(&data.Spec.Template.Spec),
		})
	}
	return h.sorted()
}

// NoHistory is the history of a workload that keeps no revisions, or whose revisions may not be read.
func NoHistory(why string) History { return History{Unread: why} }

func (h History) sorted() History {
	slices.SortStableFunc(h.Revisions, func(a, b Revision) int {
		switch {
		case a.Number != b.Number && a.Number < b.Number:
			return 1
		case a.Number != b.Number:
			return -1
		}
		return b.Made.Compare(a.Made)
	})
	if len(h.Revisions) == 0 && h.Unread == "" {
		h.Unread = "no " + h.Of + " of it are there"
	}
	return h
}

func imagesOf(spec *corev1.PodSpec) map[string]string {
	out := make(map[string]string, len(spec.Containers)+len(spec.InitContainers))
	for i := range spec.InitContainers {
		out[spec.InitContainers[i].Name] = spec.InitContainers[i].Image
	}
	for i := range spec.Containers {
		out[spec.Containers[i].Name] = spec.Containers[i].Image
	}
	for i := range spec.Volumes {
		if v := &spec.Volumes[i]; v.Image != nil {
			out[v1alpha1.ImageVolume(v.Name)] = v.Image.Reference
		}
	}
	return out
}

// Candidates are the images that a container had, newest first, and at last the one that it has: what Git may say.
func (h History) Candidates(c Container) []string {
	var out []string
	for _, r := range h.Revisions {
		if image := r.Images[c.Name]; image != "" && image != c.Image && !slices.Contains(out, image) {
			out = append(out, image)
		}
	}
	return append(out, c.Image)
}

// step is the way from one revision to another one.
type step struct {
	// from is the image that the container had before, and the revision that was left; empty where it is not known.
	image, from string
	// to is the older revision that was gone back to; empty where the image came with a new one.
	to string
}

// step finds how a container came to its image. The controller may not have counted yet: then the template is still
// the older revision, and the newest is the one that was left.
func (h History) step(c Container) step {
	var out step
	current := slices.IndexFunc(h.Revisions, func(r Revision) bool { return r.Images[c.Name] == c.Image })
	left := slices.IndexFunc(h.Revisions, func(r Revision) bool {
		return r.Images[c.Name] != "" && r.Images[c.Name] != c.Image
	})
	if left >= 0 {
		out.image, out.from = h.Revisions[left].Images[c.Name], number(h.Revisions[left].Number)
	}
	if current < 0 || left < 0 {
		return out
	}
	switch at, was := &h.Revisions[current], &h.Revisions[left]; {
	case len(at.Before) > 0:
		out.to = number(at.Before[len(at.Before)-1])
	case at.Number < was.Number:
		out.to = number(at.Number)
	case at.Made.Before(was.Made):
		// ControllerRevisions keep no number that they had before.
		out.to = "the one of " + at.Made.UTC().Format("2006-01-02 15:04:05 MST")
	}
	return out
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
