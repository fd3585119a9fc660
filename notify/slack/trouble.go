package slack

import "fmt"

// Trouble is what keeps a Provider from being of use, and what to do about it.
type Trouble struct {
	// Reason in CamelCase, as conditions want it.
	Reason string
	// Sentence for whoever set it up, without a secret.
	Sentence string
}

// Error is the sentence.
func (t *Trouble) Error() string { return t.Sentence }

func trouble(reason, format string, args ...any) *Trouble {
	return &Trouble{reason, fmt.Sprintf(format, args...)}
}
