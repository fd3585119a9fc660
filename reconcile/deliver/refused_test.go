package deliver_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/deliver"
	"github.com/backstop-dev/backstop/test/forgestub"
)

func TestTokenWithoutTheRight(t *testing.T) {
	for name, tt := range map[string]struct {
		kind   forgestub.Kind
		body   string
		header []string
		words  []string
	}{
		"a GitHub App with contents alone": {forgestub.GitHub, `{"message":"Resource not accessible by integration"}`,
			[]string{"X-Accepted-GitHub-Permissions", "pull_requests=write"}, []string{"pull_requests=write", "accepted by its organisation"}},
		"a fine-grained token": {forgestub.GitHub, `{"message":"Resource not accessible by personal access token"}`,
			nil, []string{"pull requests: write"}},
		"single sign-on": {forgestub.GitHub, `{"message":"Resource protected by organization SAML enforcement."}`,
			[]string{"X-GitHub-SSO", "required; url=https://github.com/orgs/acme/sso"}, []string{"single sign-on"}},
		"GitLab's write_repository": {forgestub.GitLab,
			`{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token.","scope":"api"}`,
			nil, []string{"scope api", "insufficient_scope"}},
		"Gitea's read:repository": {forgestub.Gitea,
			`{"message":"token does not have at least one of required scope(s): [write:repository]"}`, nil, []string{"write:repository"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, forgestub.Options{Kind: tt.kind})
			w.SetFault(func(rw http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPost {
					return false
				}
				for i := 0; i+1 < len(tt.header); i += 2 {
					rw.Header().Set(tt.header[i], tt.header[i+1])
				}
				rw.WriteHeader(http.StatusForbidden)
				_, _ = rw.Write([]byte(tt.body))
				return true
			})
			_, err := w.api.Open(t.Context(), proposal())
			w.kindIs(err, reconcile.FaultForbidden, append(tt.words, "GitRepository flux-system/fleet")...)
		})
	}
}

func TestTokenThatIsNotAccepted(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		_, err := w.opened(server(w.RepoURL(), "another-token")).Open(t.Context(), proposal())
		w.kindIs(err, reconcile.FaultUnauthorized)
	})
}

func TestRateLimit(t *testing.T) {
	soon := strconv.FormatInt(time.Now().Add(10*time.Minute).Unix(), 10)
	for name, tt := range map[string]struct {
		kind            forgestub.Kind
		status          int
		body            string
		header          []string
		atLeast, atMost time.Duration
	}{
		"GitHub's primary limit":                      {forgestub.GitHub, 403, `{"message":"API rate limit exceeded for user ID 1."}`, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", soon}, 5 * time.Minute, 11 * time.Minute},
		"GitHub's secondary limit":                    {forgestub.GitHub, 403, `{"message":"You have exceeded a secondary rate limit."}`, []string{"Retry-After", "30"}, 30 * time.Second, 30 * time.Second},
		"GitHub's secondary limit that does not say":  {forgestub.GitHub, 429, `{"message":"You have exceeded a secondary rate limit."}`, nil, time.Minute, time.Minute},
		"GitHub on who opens much":                    {forgestub.GitHub, 422, `{"message":"Validation Failed","errors":[{"resource":"PullRequest","code":"custom","message":"was submitted too quickly"}]}`, nil, time.Minute, time.Minute},
		"GitLab's limit":                              {forgestub.GitLab, 429, "Retry later\n", []string{"Retry-After", "17"}, 17 * time.Second, 17 * time.Second},
		"GitLab's limit by its reset":                 {forgestub.GitLab, 429, "Retry later\n", []string{"RateLimit-Reset", soon}, 5 * time.Minute, 11 * time.Minute},
		"a proxy before Gitea":                        {forgestub.Gitea, 429, "", nil, time.Minute, time.Minute},
		"a proxy that says a date":                    {forgestub.Gitea, 429, "", []string{"Retry-After", time.Now().Add(5 * time.Minute).UTC().Format(http.TimeFormat)}, time.Second, 6 * time.Minute},
		"a server that says a year":                   {forgestub.Gitea, 429, "", []string{"Retry-After", "31536000"}, time.Hour, time.Hour},
		"a server that is away and says for how long": {forgestub.Gitea, 503, "", []string{"Retry-After", "5"}, 5 * time.Second, 5 * time.Second},
		"a number that would run over":                {forgestub.Gitea, 429, "", []string{"Retry-After", "9223372036854775807"}, time.Hour, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, forgestub.Options{Kind: tt.kind})
			w.SetFault(func(rw http.ResponseWriter, _ *http.Request) bool {
				for i := 0; i+1 < len(tt.header); i += 2 {
					rw.Header().Set(tt.header[i], tt.header[i+1])
				}
				rw.WriteHeader(tt.status)
				_, _ = rw.Write([]byte(tt.body))
				return true
			})
			_, err := w.api.Find(t.Context(), branch, "main")
			w.waits(err, tt.atLeast, tt.atMost)
		})
	}
}

// GraphQL says 200 to a limit as well.
func TestRateLimitOfGraphQL(t *testing.T) {
	w := start(t, forgestub.Options{Kind: forgestub.GitHub})
	w.SetRules(forgestub.Rules{Checks: []string{"ci"}})
	pr := w.read(w.open().Number)
	w.SetFault(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/graphql") {
			return false
		}
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("X-RateLimit-Remaining", "0")
		rw.Header().Set("X-RateLimit-Reset", strconv.FormatInt(time.Now().Add(10*time.Minute).Unix(), 10))
		_, _ = rw.Write([]byte(`{"errors":[{"type":"RATE_LIMITED","message":"API rate limit exceeded for user ID 1."}]}`))
		return true
	})
	_, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head, Arm: true})
	w.waits(err, 5*time.Minute, 11*time.Minute)
	w.waits(w.api.Disarm(t.Context(), pr), 5*time.Minute, 11*time.Minute)
}

func TestNotFoundForWhatATokenMayNotSee(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		w.SetRules(forgestub.Rules{Hidden: true})
		_, err := w.api.Open(t.Context(), proposal())
		w.kindIs(err, reconcile.FaultNotFound, "do not get to see it", "access to the repository")
	})
}

func TestRefusedByName(t *testing.T) {
	for url, want := range map[string]deliver.Provider{
		"https://bitbucket.org/acme/fleet.git":                          deliver.Bitbucket,
		"https://bitbucket.acme.example/scm/ops/fleet.git":              deliver.Bitbucket,
		"https://git.acme.example/scm/ops/fleet.git":                    deliver.Bitbucket,
		"https://acme@dev.azure.com/acme/ops/_git/fleet":                deliver.AzureDevOps,
		"https://acme.visualstudio.com/ops/_git/fleet":                  deliver.AzureDevOps,
		"https://tfs.acme.example/tfs/Default/ops/_git/fleet":           deliver.AzureDevOps,
		"https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/fleet": deliver.CodeCommit,
	} {
		t.Run(url, func(t *testing.T) {
			s := server(url, "x")
			where, err := deliver.Locate(t.Context(), s, deliver.Options{})
			if err != nil || where.Provider != want {
				t.Fatalf("it is %q, %v; want %q", where.Provider, err, want)
			}
			if _, err := deliver.Open(s, where); reconcile.KindOf(err) != reconcile.FaultNoProvider ||
				!strings.Contains(err.Error(), string(want)) {
				t.Errorf("opened, or refused with %v", err)
			}
		})
	}
}

// What may be written is asked in the moment in which it is sent: a provider may be read for long before.
func TestNothingIsSentThatIsForbiddenMeanwhile(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		no := errors.New("policy backstop-system/stop is suspended")
		asked := 0
		ctx := reconcile.WithPermit(t.Context(), func() error { asked++; return no })
		if _, err := w.api.Open(ctx, proposal()); !errors.Is(err, no) || len(w.PRs()) > 0 {
			t.Errorf("open: %v, and there are %d", err, len(w.PRs()))
		}
		pr := w.open()
		pr = w.read(pr.Number)
		calls := len(w.Calls())
		for name, write := range map[string]func() error{
			"merge": func() error { _, err := w.api.Merge(ctx, pr, reconcile.MergeOrder{Head: pr.Head}); return err },
			"arm": func() error {
				_, err := w.api.Merge(ctx, pr, reconcile.MergeOrder{Head: pr.Head, Arm: true})
				return err
			},
			"close": func() error { return w.api.Close(ctx, pr, "the image works again") },
		} {
			asked = 0
			if err := write(); !errors.Is(err, no) || asked == 0 {
				t.Errorf("%s: %v, asked %d times", name, err, asked)
			}
		}
		for _, call := range w.Calls()[calls:] {
			if !strings.HasPrefix(call, http.MethodGet+" ") {
				t.Errorf("the provider was sent %s", call)
			}
		}
		if now := w.read(pr.Number); now.State != v1alpha1.PullRequestOpen || now.Armed {
			t.Errorf("it is %s, armed %v", now.State, now.Armed)
		}
		ctx = reconcile.WithPermit(t.Context(), func() error { return nil })
		if err := w.api.Close(ctx, pr, "the image works again"); err != nil || w.read(pr.Number).State != v1alpha1.PullRequestClosed {
			t.Errorf("close, allowed: %v", err)
		}
	})
}
