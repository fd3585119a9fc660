package clicks

import (
	"errors"
	"fmt"

	"github.com/slack-go/slack"

	"github.com/backstop-dev/backstop/internal/text"
)

// unsure is a question that Slack did not answer.
type unsure struct {
	// what was asked, and the scope that it takes.
	what, scope string
	err         error
}

func (u *unsure) Error() string { return fmt.Sprintf("ask Slack %s: %v", u.what, u.err) }

func (u *unsure) Unwrap() error { return u.err }

// why is the error's name, and what to do about a missing scope.
func (u *unsure) why() string {
	var said slack.SlackErrorResponse
	switch {
	case errors.As(u.err, &said) && said.Err == "missing_scope":
		return "the Slack app lacks the scope `" + u.scope + "`"
	case errors.As(u.err, &said):
		return "`" + plain(said.Err) + "`"
	}
	return "it did not answer"
}

// clip makes what came with a click short enough for a log.
func clip(s string) string { return text.Cut(text.OneLine(s), 100) }
