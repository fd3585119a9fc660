package v1alpha1

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Time is a moment in Backstop's objects. It reads every form of RFC 3339, with a fraction of any length or none:
// people write decisions with ordinary times. It prints microseconds in UTC, since much happens within a second, and
// nanoseconds where somebody else wrote them: a decision that is written back must be the one that was read. The zero
// Time is null.
//
// The API server refuses what UnmarshalJSON cannot read.
//
// +kubebuilder:validation:Type=string
// +kubebuilder:validation:Format=date-time
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:Pattern=`^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
type Time struct {
	metav1.MicroTime `json:"-"`
}

// The forms in which a Time is written.
const (
	timeMicro = "2006-01-02T15:04:05.000000Z07:00"
	timeNano  = "2006-01-02T15:04:05.000000000Z07:00"
)

// NewTime is a moment with the precision in which it is stored.
func NewTime(t time.Time) Time { return Time{metav1.NewMicroTime(t.Truncate(time.Microsecond))} }

// IsZero reports whether there is no time.
func (t *Time) IsZero() bool { return t == nil || t.Time.IsZero() }

// Equal reports whether two moments are the same, or both are missing.
func (t *Time) Equal(u *Time) bool {
	if t == nil || u == nil {
		return t == u
	}
	return t.Time.Equal(u.Time)
}

// Before reports whether t is earlier than u. A missing one is neither earlier nor later.
func (t *Time) Before(u *Time) bool { return t != nil && u != nil && t.Time.Before(u.Time) }

// DeepCopyInto copies t.
func (t *Time) DeepCopyInto(out *Time) { *out = *t }

// UnmarshalJSON reads every form of RFC 3339, small letters too.
func (t *Time) UnmarshalJSON(b []byte) error {
	var text *string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("read a time: %.64s is no text", b)
	}
	if text == nil {
		*t = Time{}
		return nil
	}
	at, err := time.Parse(time.RFC3339, strings.ToUpper(*text))
	if err != nil {
		return fmt.Errorf("read a time: %.64q is not of the form 2006-01-02T15:04:05Z", *text)
	}
	*t = Time{metav1.NewMicroTime(at.Local())}
	return nil
}

// MarshalJSON prints t, null where it is zero.
func (t Time) MarshalJSON() ([]byte, error) { return json.Marshal(t.ToUnstructured()) }

// ToUnstructured is t in an object without types: a text, or nil where it is zero.
func (t Time) ToUnstructured() any {
	switch {
	case t.IsZero():
		return nil
	case t.Nanosecond()%1000 != 0:
		return t.UTC().Format(timeNano)
	}
	return t.UTC().Format(timeMicro)
}

// OpenAPISchemaType is string.
func (Time) OpenAPISchemaType() []string { return []string{"string"} }

// OpenAPISchemaFormat is date-time.
func (Time) OpenAPISchemaFormat() string { return "date-time" }
