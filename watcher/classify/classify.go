package classify

import (
	"regexp"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
)

// The reasons of a container that waits for an image, from the kubelet's
// images/types.go and the CRI's errors.go, and the reasons of its events.
const (
	reasonPull        = "ErrImagePull"
	reasonBackOff     = "ImagePullBackOff"
	reasonNever       = "ErrImageNeverPull"
	reasonInvalid     = "InvalidImageName"
	reasonInspect     = "ImageInspectError"
	reasonUnavailable = "RegistryUnavailable"
	reasonSignature   = "SignatureValidationFailed"
	eventFailed       = "Failed"
	eventBackOff      = "BackOff"
	eventInspect      = "InspectFailed"
)

// Beginnings of the kubelet's sentences. No name stands before them.
const (
	saysFailed  = "Failed to pull image "
	saysError   = "Error: "
	saysBackOff = "Back-off pulling image "
	saysInvalid = "Failed to apply default image tag "
)

// wrapped is how a kubelet from 1.32 on repeats the first error while it backs off.
var wrapped = regexp.MustCompile(`^Back-off pulling image "(?:[^"\\]|\\.)*": ([A-Za-z]+)(?:: |$)`)

// bare is a back-off that does not mention the first error.
var bare = regexp.MustCompile(`^Back-off pulling image (?:"(?:[^"\\]|\\.)*"?|\S+)$`)

// Waiting reads the reason and message of a waiting container, or of a pod's event. ok is false where the
// container does not wait for an image: it crashes, lacks its configuration, or is being created.
func Waiting(reason, message string) (cause v1alpha1.Cause, ok bool) {
	switch reason {
	case reasonPull:
		return read(message), true
	case reasonBackOff:
		if m := wrapped.FindStringSubmatch(message); m != nil {
			if cause, ok := decided(m[1]); ok {
				return cause, true
			}
		}
		return read(message), true
	case reasonInspect, eventInspect:
		if strings.HasPrefix(message, saysInvalid) || read(message) == v1alpha1.CauseInvalidName {
			return v1alpha1.CauseInvalidName, true
		}
		return v1alpha1.CauseNodeFault, true
	case eventFailed:
		if inner, found := strings.CutPrefix(message, saysError); found {
			return named(inner)
		}
		if strings.HasPrefix(message, saysFailed) {
			return read(message), true
		}
	case eventBackOff:
		if strings.HasPrefix(message, saysBackOff) {
			return Waiting(reasonBackOff, message)
		}
	}
	return decided(reason)
}

// Of is Waiting of a container whose image is known: some runtimes do not name in their words where they asked, and
// what a cache lacks blames no image.
func Of(reason, message, of string) (cause v1alpha1.Cause, ok bool) {
	if cause, ok = Waiting(reason, message); lacks(cause) && cached(of) {
		cause = v1alpha1.CauseRegistryUnavailable
	}
	return cause, ok
}

// decided gives the cause of the reasons that say it all, whatever the message.
func decided(reason string) (v1alpha1.Cause, bool) {
	switch reason {
	case reasonNever:
		return v1alpha1.CauseNeverPulled, true
	case reasonInvalid:
		return v1alpha1.CauseInvalidName, true
	case reasonUnavailable:
		return v1alpha1.CauseRegistryUnavailable, true
	case reasonSignature:
		return v1alpha1.CauseUnknown, true
	}
	return "", false
}

// named reads the event that only names a reason.
func named(reason string) (v1alpha1.Cause, bool) {
	switch reason {
	case reasonPull, reasonBackOff:
		return v1alpha1.CauseUnknown, true
	case reasonInspect:
		return v1alpha1.CauseNodeFault, true
	}
	return decided(reason)
}

// read matches the words of a message, names taken out, against the rules.
func read(message string) v1alpha1.Cause {
	text, segments := strip(message)
	found := map[v1alpha1.Cause]bool{}
	for _, r := range rules {
		if r.match(text, segments) {
			found[r.cause] = true
		}
	}
	for _, s := range segments {
		if serverError.MatchString(s) {
			found[v1alpha1.CauseRegistryUnavailable] = true
		}
	}
	cause := v1alpha1.WeighCauses(found)
	// A cache's 404 without words says as little.
	silent := len(found) == 0 && strings.Contains(text, "404 not found")
	if (lacks(cause) || silent) && cached(message) {
		return v1alpha1.CauseRegistryUnavailable
	}
	if lacks(cause) && image.Withholds(text) {
		return v1alpha1.CauseUnknown
	}
	return cause
}

// lacks reports whether a cause says that something is missing from where the node asked.
func lacks(c v1alpha1.Cause) bool {
	return c == v1alpha1.CauseNotFound || c == v1alpha1.CauseBlobMissing || c == v1alpha1.CausePlatformMismatch
}

// Better is the failure to keep of two observations of one container of one workload revision. It is the new one, but a
// known cause and its message are not replaced by one that says less, such as the bare back-off of an older kubelet,
// and Since stays the first time.
func Better(old, new v1alpha1.Failure) v1alpha1.Failure {
	kept := new
	if !known(new) && (known(old) || (says(old) && !says(new))) {
		kept.Cause, kept.Message = old.Cause, old.Message
	}
	if !old.Since.IsZero() && (new.Since.IsZero() || old.Since.Before(&new.Since)) {
		kept.Since = old.Since
	}
	if kept.Pull == nil {
		kept.Pull = old.Pull
	}
	return kept
}

func known(f v1alpha1.Failure) bool {
	return f.Cause != "" && f.Cause != v1alpha1.CauseUnknown
}

// says is false for a message that holds no error.
func says(failure v1alpha1.Failure) bool {
	return failure.Message != "" && !bare.MatchString(failure.Message)
}
