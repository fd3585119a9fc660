package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/reconcile"
)

const (
	// maxWait bounds how long a rate limit is waited for, whatever the server says.
	maxWait = time.Hour
	// secondary is how long GitHub asks clients to wait that it does not tell.
	secondary = time.Minute
)

// failed makes a sentence of what went wrong while doing something, of the kind that it is. The library's own error is
// not kept: it may repeat what it was given.
func (s *session) failed(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf("%s of %s at %s", doing, s.where.Project, s.where.Provider)
	if kind := reconcile.KindOf(err); kind != "" {
		return reconcile.RefuseAs(kind, "%s: %w", what, err)
	}
	var r *refused
	var no *forbidden
	var timeout net.Error
	switch {
	case errors.As(err, &no):
		return fmt.Errorf("%s: %w", what, no.error)
	case errors.As(err, &r):
		return s.refusal(what, r)
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%s: %w", what, context.Canceled)
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%s: no answer in time: %w", what, context.DeadlineExceeded)
	}
	return fmt.Errorf("%s: %s", what, s.server.Clean(err.Error(), 300))
}

// told is what becomes of a comment that could not be written: it explains, and credentials that may close a pull
// request need not be ones that may comment.
func (s *session) told(ctx context.Context, err error) error {
	if status, _ := statusOf(err); status == http.StatusForbidden || status == http.StatusNotFound {
		return nil
	}
	return s.failed(ctx, "say why the pull request is closed", err)
}

// refusal judges an answer that is no success.
func (s *session) refusal(what string, r *refused) error {
	words := s.words(r)
	if wait, limited := limit(r, time.Now()); limited {
		return &reconcile.RetryAfter{After: wait, Err: fmt.Errorf("%s: the server answers no more for %s%s", what,
			wait.Round(time.Second), words)}
	}
	switch r.status {
	case http.StatusUnauthorized:
		return reconcile.RefuseAs(reconcile.FaultUnauthorized, "%s: the API does not accept the credentials of %s%s", what,
			s.server.Source, words)
	case http.StatusForbidden:
		return reconcile.RefuseAs(reconcile.FaultForbidden, "%s: the credentials of %s may not do this: %s%s", what,
			s.server.Source, s.missing(r), words)
	case http.StatusNotFound, http.StatusGone:
		return reconcile.RefuseAs(reconcile.FaultNotFound, "%s: there is no such thing, or these credentials do not get to "+
			"see it: check that those of %s have access to the repository; %s%s", what, s.server.Source,
			s.rights(), words)
	case http.StatusProxyAuthRequired:
		return reconcile.RefuseAs(reconcile.FaultProxy, "%s: the proxy does not accept the credentials%s", what, words)
	}
	if r.status >= 500 || r.status == http.StatusRequestTimeout || r.status == http.StatusLocked {
		return fmt.Errorf("%s: HTTP %d%s", what, r.status, words)
	}
	return reconcile.RefuseAs(reconcile.FaultDeclined, "%s: the server refuses it with HTTP %d%s", what, r.status, words)
}

// notLearned is a server that does not know of a branch after it was pushed. It may do so later.
func (s *session) notLearned(branch string, err error) error {
	var r *refused
	words := ""
	if errors.As(err, &r) {
		words = s.words(r)
	}
	return reconcile.RefuseAs(reconcile.FaultNotYet, "open a pull request of %s at %s: it does not know of %s, which was "+
		"pushed%s", s.where.Project, s.where.Provider, branch, words)
}

// words are what the server says, for the end of a sentence.
func (s *session) words(r *refused) string {
	if said := s.server.Clean(r.says(), 300); said != "" {
		return " (it says: " + said + ")"
	}
	return ""
}

// says is the text of a refusal: of the forms that providers answer in, the fields that are for people.
func (r *refused) says() string {
	var body map[string]any
	if json.Unmarshal([]byte(r.body), &body) != nil {
		if strings.HasPrefix(strings.TrimSpace(r.body), "<") {
			return ""
		}
		return r.body
	}
	var out []string
	for _, key := range []string{"message", "error", "error_description", "errors", "scope"} {
		out = append(out, textOf(body[key])...)
	}
	return strings.Join(out, "; ")
}

// textOf lists the texts in a value of JSON, in an order of their own.
func textOf(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, e := range v {
			out = append(out, textOf(e)...)
		}
		return out
	case map[string]any:
		if message := textOf(v["message"]); len(message) > 0 {
			return message
		}
		var out []string
		for key, e := range v {
			for _, text := range textOf(e) {
				out = append(out, key+": "+text)
			}
		}
		slices.Sort(out)
		return out
	}
	return nil
}

// limit reports whether a server answers nobody for now, and for how long.
func limit(r *refused, now time.Time) (time.Duration, bool) {
	said := strings.ToLower(r.body)
	counted := r.header.Get("X-RateLimit-Remaining") == "0" || strings.Contains(said, "rate limit") ||
		strings.Contains(said, "abuse detection")
	switch {
	case r.status == http.StatusTooManyRequests:
	case r.status == http.StatusForbidden && counted:
	// Who opens much in a short time is told so in place of a limit.
	case r.status == http.StatusUnprocessableEntity && strings.Contains(said, "submitted too quickly"):
	case r.status == http.StatusServiceUnavailable && r.header.Get("Retry-After") != "":
	default:
		return 0, false
	}
	wait := secondary
	after, reset := r.header.Get("Retry-After"), r.header.Get("X-RateLimit-Reset")
	if reset == "" {
		reset = r.header.Get("RateLimit-Reset")
	}
	if n, err := strconv.ParseInt(after, 10, 64); err == nil {
		wait = time.Duration(min(n, int64(maxWait/time.Second))) * time.Second
	} else if at, err := http.ParseTime(after); err == nil {
		wait = at.Sub(now)
	} else if n, err := strconv.ParseInt(reset, 10, 64); err == nil {
		wait = time.Unix(n, 0).Sub(now)
	}
	return min(max(wait, time.Second), maxWait), true
}

// missing names the right that a 403 is about, as far as the server tells.
func (s *session) missing(r *refused) string {
	if sso := r.header.Get("X-GitHub-SSO"); strings.HasPrefix(sso, "required") {
		return "the organisation wants the token authorised for its single sign-on"
	}
	if want := r.header.Get("X-Accepted-GitHub-Permissions"); want != "" {
		return "it needs the permission " + s.server.Clean(want, 100) + ", and " + s.rights()
	}
	return s.rights()
}

// rights are what a provider wants of credentials that open pull requests.
func (s *session) rights() string {
	switch s.where.Provider {
	case GitHub:
		return "a token needs contents and pull requests: write (a classic one the scope repo), a GitHub App the same, " +
			"accepted by its organisation"
	case GitLab:
		return "a token needs the scope api and the role Developer or more"
	case Gitea:
		return "a token needs the scope write:repository, and its user must be allowed to write"
	case Bitbucket, AzureDevOps, CodeCommit:
	}
	return "they need to be allowed to write"
}

// statusOf is the status of the refusal in an error, and its words in lower case; zero where there is none.
func statusOf(err error) (int, string) {
	var r *refused
	if errors.As(err, &r) {
		return r.status, strings.ToLower(r.says())
	}
	return 0, ""
}

// saysAny reports whether any of the words is in a text in lower case.
func saysAny(text string, words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
}

// merging is what a provider's refusal to merge is about, where its words or status tell.
func (s *session) merging(ctx context.Context, kind reconcile.FaultKind, why string, err error) error {
	what := fmt.Sprintf("merge the pull request of %s at %s", s.where.Project, s.where.Provider)
	var r *refused
	if kind == "" || !errors.As(err, &r) {
		return s.failed(ctx, "merge the pull request", err)
	}
	return reconcile.RefuseAs(kind, "%s: %s%s", what, why, s.words(r))
}
