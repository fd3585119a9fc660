package slack

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/internal/cloud"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// trips answers requests.
type trips func(*http.Request) (*http.Response, error)

func (f trips) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Whoever makes a Provider chooses how long it may take, and the proxy that never answers.
func TestAProviderThatHangsKeepsNoOtherWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, slow := slackstub.New(slackstub.Options{}), types.NamespacedName{Namespace: "tenant", Name: "slow"}
		o := acme("http://slack.test/api/")
		o.specs[slow] = map[string]any{"type": "slack", "channel": "C0X", "address": "http://slack.test/api/", "timeout": "24h",
			"secretRef": map[string]any{"name": "tokens"}}
		o.secrets[types.NamespacedName{Namespace: "tenant", Name: "tokens"}] = map[string]string{"token": "xoxb-tenant"}
		hangs := &http.Client{Transport: trips(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}
		a := &Apps{Reader: o, Hosts: Hosts{"slack.test"}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
			http: func(s *Settings) *http.Client {
				if s.Name == slow {
					return hangs
				}
				return good.Client()
			}}
		began := time.Now()
		var running sync.WaitGroup
		running.Go(func() { a.Refresh(t.Context(), []types.NamespacedName{provider1, slow}) })
		synctest.Wait()
		if a.Get(provider1) == nil {
			t.Error("the other one waits for it")
		}
		running.Wait()
		if took := time.Since(began); took > testWithin {
			t.Errorf("what comes after takes %s", took)
		}
		if c := a.Condition(slow, nil); c.Reason != "Unreachable" {
			t.Errorf("of the one that hangs it says %+v", c)
		}
	})
}

func TestATimeoutHasItsBound(t *testing.T) {
	o := acme("http://slack.test/api/")
	o.specs[provider1]["timeout"] = "24h"
	s, err := Read(t.Context(), o, provider1, Hosts{"slack.test"})
	if err != nil || s.Timeout != maxTimeout {
		t.Errorf("it is %+v, %v", s, err)
	}
}

// Who answers in Slack's place must not take Backstop's memory.
func TestAnAnswerIsWeighedBeforeItIsRead(t *testing.T) {
	for name, body := range map[string]string{
		"endless":             `{"ok":true,"x":"` + strings.Repeat("x", 64<<20) + `"}`,
		"many small things":   `{"ok":true,"scopes":[` + strings.Repeat("{},", 1<<20) + `{}]}`,
		"many smaller things": `{"ok":true,"users":[` + strings.Repeat("0,", 1<<20) + `0]}`,
	} {
		t.Run(name, func(t *testing.T) {
			raw := []byte(body)
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write(raw)
			}))
			defer srv.Close()
			o := acme(srv.URL + "/api/")
			a := &Apps{Reader: o, Hosts: Hosts{"127.0.0.1"}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			a.Refresh(t.Context(), []types.NamespacedName{provider1})
			runtime.ReadMemStats(&after)
			if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 48 {
				t.Errorf("it takes %d MiB", mib)
			}
			if c := a.Condition(provider1, nil); c.Reason != "Unreachable" {
				t.Errorf("it says %+v", c)
			}
		})
	}
}

func TestAProxyIsNoCloudsMetadata(t *testing.T) {
	for _, proxy := range []string{"http://169.254.169.254", "http://[::ffff:169.254.169.254]:80", "http://[fd00:ec2::254]"} {
		o := acme("http://slack.test/api/")
		o.specs[provider1]["proxy"] = proxy
		s, err := Read(t.Context(), o, provider1, Hosts{"slack.test"})
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Client{Transport: s.Transport}).Get("http://slack.test/api/auth.test")
		if err == nil {
			_ = res.Body.Close()
		}
		if !errors.Is(err, cloud.ErrMetadata) {
			t.Errorf("%s: %v", proxy, err)
		}
	}
}
