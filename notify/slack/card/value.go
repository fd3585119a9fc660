package card

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Ref is what a button says of its card. It is no secret and no proof: who may click is decided by the channel and
// message that were stored, and by the policy.
type Ref struct {
	// Namespace, Name and UID of the Rollback.
	Namespace, Name, UID string
	// Question that the card asked; see Question.
	Question string
}

// valueVersion begins every value, so that a card of an older Backstop is known by it.
const valueVersion = "v1"

// noQuestion stands where nothing is asked: the buttons that only open a link carry a value too.
const noQuestion = "000000000000"

// Question is the id of what is asked. A click on a card that asked another question must not be taken for an answer to
// this one.
func Question(r *v1alpha1.Rollback) string {
	if r.Status.Question == nil {
		return noQuestion
	}
	return r.Status.Question.ID
}

// Value is what the buttons of a Rollback's card carry.
func Value(r *v1alpha1.Rollback) string {
	return strings.Join([]string{valueVersion, r.Namespace, r.Name, string(r.UID), Question(r)}, "/")
}

var (
	questionForm = regexp.MustCompile(`^[0-9a-f]{12}$`)
	uidForm      = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)
)

// ErrValue means that no card of this Backstop carries such a value.
var ErrValue = errors.New("not the value of a Backstop button")

// ParseValue reads a value back. It may come from anybody.
func ParseValue(s string) (Ref, error) {
	parts := strings.Split(s, "/")
	if len(parts) != 5 || parts[0] != valueVersion {
		return Ref{}, ErrValue
	}
	r := Ref{Namespace: parts[1], Name: parts[2], UID: parts[3], Question: parts[4]}
	switch {
	case len(validation.IsDNS1123Label(r.Namespace)) > 0:
		return Ref{}, fmt.Errorf("%w: namespace", ErrValue)
	case len(validation.IsDNS1123Subdomain(r.Name)) > 0:
		return Ref{}, fmt.Errorf("%w: name", ErrValue)
	case !uidForm.MatchString(r.UID):
		return Ref{}, fmt.Errorf("%w: uid", ErrValue)
	case !questionForm.MatchString(r.Question):
		return Ref{}, fmt.Errorf("%w: question", ErrValue)
	}
	return r, nil
}
