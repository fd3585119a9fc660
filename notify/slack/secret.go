package slack

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"

	"github.com/backstop-dev/backstop/internal/text"
)

// Secret is a token or a signing secret. It prints as "[redacted]" whatever the verb.
type Secret string

// Format keeps it out of every print, log and error.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// LogValue keeps it out of structured logs.
func (Secret) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// MarshalJSON keeps it out of everything encoded.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"[redacted]"`), nil }

// words are what an error says, without the URL of the request and without secrets.
func words(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return text.Mask(err.Error())
}
