package reconcile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

const (
	// KeyLabel on a Rollback holds the hash of its namespace and subject, by which all Rollbacks of a key are found.
	KeyLabel = "backstop.dev/key"
	// OrdinalAnnotation counts the Rollbacks of one key.
	OrdinalAnnotation = "backstop.dev/ordinal"
	// AdoptsAnnotation is on a Rollback that is opened for a hold that stands in Git, and names the held policy.
	AdoptsAnnotation = "backstop.dev/adopts"
)

// Key is what every input enqueues: one subject in one namespace, an image or an object.
type Key struct {
	Namespace string
	Subject   v1alpha1.Subject
}

// ImageKey is the key of an image.
func ImageKey(namespace, image string) Key { return Key{namespace, v1alpha1.ImageSubject(image)} }

// KeyOf is the key that a Rollback is about.
func KeyOf(r *v1alpha1.Rollback) Key { return Key{r.Namespace, r.Spec.Subject} }

// Image of a key whose subject is one; else empty.
func (k Key) Image() string { return k.Subject.Image() }

// String is namespace/image, or namespace/Kind/name.
func (k Key) String() string { return k.Namespace + "/" + k.Subject.String() }

// Hash names a key in labels and object names: the first 10 hex digits of its SHA-256.
func (k Key) Hash() string {
	of := k.Namespace + "\x00" + k.Subject.Name
	if s := k.Subject; s.Kind != v1alpha1.KindImage {
		of = strings.Join([]string{k.Namespace, s.APIVersion, s.Kind, s.Name}, "\x00")
	}
	sum := sha256.Sum256([]byte(of))
	return hex.EncodeToString(sum[:5])
}

// RollbackName is the last part of the image's repository, or the object's kind and name, the key's hash and an
// ordinal: the same for everybody who opens the same Rollback, so that AlreadyExists is the lock.
func RollbackName(k Key, ordinal int) string {
	word := nameWord(k.Subject.Name)
	if s := k.Subject; s.Kind != v1alpha1.KindImage {
		word = nameWord(s.Kind + "-" + s.Name)
	}
	return fmt.Sprintf("%s-%s-%d", word, k.Hash(), ordinal)
}

// nameWord makes a DNS label of at most 30 characters of an image reference, which may be anything, or of a name.
func nameWord(image string) string {
	repo, _, _ := strings.Cut(image, "@")
	repo = repo[strings.LastIndex(repo, "/")+1:]
	repo, _, _ = strings.Cut(repo, ":")
	word := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, repo)
	if len(word) > 30 {
		word = word[:30]
	}
	word = strings.Trim(word, "-")
	return orElse(word, "image")
}

// Ordinal of a Rollback; zero when its annotation was tampered with.
func Ordinal(r *v1alpha1.Rollback) int {
	n, err := strconv.Atoi(r.Annotations[OrdinalAnnotation])
	if err != nil {
		return 0
	}
	return n
}

// NewRollback makes the empty Rollback of a key.
func NewRollback(k Key, openedFor v1alpha1.TriggerType, ordinal int) *v1alpha1.Rollback {
	return &v1alpha1.Rollback{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Rollback"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: k.Namespace, Name: RollbackName(k, ordinal),
			Labels:      map[string]string{KeyLabel: k.Hash()},
			Annotations: map[string]string{OrdinalAnnotation: strconv.Itoa(ordinal)},
		},
		Spec: v1alpha1.RollbackSpec{OpenedFor: openedFor, Subject: k.Subject},
	}
}

// adopting reports that a Rollback was opened for a hold, which has not been written into it yet.
func adopting(r *v1alpha1.Rollback) bool {
	return r.Annotations[AdoptsAnnotation] != "" && r.Status.Suspect == nil && r.Status.Outcome == nil
}
