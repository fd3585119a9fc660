package trace

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"time"

	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

func every(d time.Duration) string { return duration.HumanDuration(d) }

// few lists the first of many.
func few(list []string, most int) string {
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}

// logs reports where to look when a controller does not do what it is asked.
func logs(controller string) string {
	return "; if nothing happens: kubectl -n flux-system logs deploy/" + controller
}

// tags counts them.
func tags(n int) string {
	if n == 1 {
		return "1 tag"
	}
	return fmt.Sprintf("%d tags", n)
}

// tag is what of an image a policy chooses.
func tagOf(image string) string {
	_, tag, _ := manifest.Split(image)
	return tag
}

func host(image string) string {
	repository, _, _ := manifest.Split(image)
	first, _, ok := strings.Cut(repository, "/")
	if !ok || !strings.ContainsAny(first, ".:") && first != "localhost" {
		return "docker.io"
	}
	return first
}

// createLogin is the command that makes a Secret to pull an image with.
func createLogin(namespace, name, image string) string {
	return fmt.Sprintf("kubectl -n %s create secret docker-registry %s --docker-server=%s --docker-username=USER "+
		"--docker-password=TOKEN", namespace, name, host(image))
}

func tagFix(cause v1alpha1.Cause, image string, platforms []string) string {
	switch cause {
	case v1alpha1.CausePlatformMismatch:
		on := cmp.Or(strings.Join(platforms, " and "), "the nodes' platform")
		return "build " + image + " for " + on + " too, and push it again"
	case v1alpha1.CauseNotAnImage:
		return "use the tag of a container image: this one is a signature, a chart, a cache or another artifact"
	case v1alpha1.CauseBlobMissing:
		return "push " + image + " again"
	case v1alpha1.CauseInvalidName:
		return "write it as REGISTRY/REPOSITORY:TAG, in lower case but for the tag"
	default:
		return "push " + image
	}
}

// overdue reports whether something that happens at an interval has not happened for too long.
func (v *view) overdue(last time.Time, interval time.Duration) bool {
	return v.Now.Sub(last) > 3*interval+2*time.Minute
}

// concerns reports whether a Rollback is about the workload.
func (v *view) concerns(r *v1alpha1.Rollback) bool {
	for _, f := range r.Status.Failures {
		if f.Workload.Kind == v.Workload.Kind && f.Workload.Name == v.Workload.Name && f.Container == v.Container {
			return true
		}
	}
	return false
}

// visible are the registry's tags that the ImageRepository does not leave out.
func (v *view) visible() []string {
	var out []string
	for _, t := range v.Registry.Tags {
		if v.scan == nil || excluded(v.scan, t) == "" {
			out = append(out, t)
		}
	}
	return out
}

// excluded gives the expression by which an ImageRepository leaves a tag out; empty where none does.
func excluded(r *reflectorv1.ImageRepository, tag string) string {
	for _, e := range exclusions(r) {
		if re, err := regexp.Compile(e); err == nil && re.MatchString(tag) {
			return e
		}
	}
	return ""
}

func exclusions(r *reflectorv1.ImageRepository) []string {
	if r.Spec.ExclusionList == nil {
		return []string{`^.*\.sig$`}
	}
	return r.Spec.ExclusionList
}

// address is a URL, or a host with a port.
var address = regexp.MustCompile(`\w+://[^\s"']+|[\w.-]+:\d+\b`)

// wordsOf are a message of Flux in small letters without its addresses: a number or a word in one is no answer of a
// server.
func wordsOf(message string) string { return address.ReplaceAllString(strings.ToLower(message), "") }
