package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	authv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/reconcile/kube"
)

// cluster are the flags by which a command finds its cluster, and as whom it asks.
type cluster struct {
	kubeconfig, context, namespace string
	as                             rest.ImpersonationConfig
}

// config finds the cluster and the namespace to work in.
func (c *cluster) config() (*rest.Config, string, error) {
	cfg, ns, err := kube.Config(c.kubeconfig, c.context)
	if err != nil {
		return nil, "", err
	}
	if len(c.as.Groups) > 0 && c.as.UserName == "" {
		return nil, "", badUsage("--as-group goes with --as")
	}
	cfg.Impersonate = c.as
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return &calls{host: cfg.Host, next: next} })
	return cfg, cmp.Or(c.namespace, ns), nil
}

// calls are requests to an API server. What keeps them from an answer says which server that is.
type calls struct {
	host string
	next http.RoundTripper
}

func (c *calls) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(req)
	// What client-go tries again by itself is left as it knows it.
	if err != nil && req.Context().Err() == nil && !utilnet.IsProbableEOF(err) {
		err = &noAnswer{c.host, err}
	}
	return resp, err
}

// noAnswer is why an API server could not be asked, without what was asked of it.
type noAnswer struct {
	host string
	err  error
}

func (e *noAnswer) Error() string {
	return fmt.Sprintf("the API server %s cannot be asked: %v", e.host, e.err)
}

func (e *noAnswer) Unwrap() error { return e.err }

// client connects with the kinds of Kubernetes, Flux and Backstop.
func (c *cluster) client() (client.Client, string, error) {
	cfg, ns, err := c.config()
	if err != nil {
		return nil, "", err
	}
	cl, err := kube.Client(cfg, unreadables())
	return cl, ns, err
}

// unreadables tells a person what is left out because it cannot be decoded.
func unreadables() *kube.Unreadables {
	return &kube.Unreadables{Tell: func(u *kube.Unreadable) { fmt.Fprintf(os.Stderr, "Left out: %v\n", u) }}
}

// whoAmI asks the API server for the user's name, which a decision carries.
func whoAmI(ctx context.Context, cl client.Client) (string, error) {
	var review authv1.SelfSubjectReview
	if err := cl.Create(ctx, &review); err != nil {
		return "", fmt.Errorf("ask the API server who you are: %w", err)
	}
	return review.Status.UserInfo.Username, nil
}

// readable is an error of the API server without the words that it says twice.
func readable(err error) error {
	var status apierrors.APIStatus
	if apierrors.IsForbidden(err) && errors.As(err, &status) {
		return &noRights{strings.TrimSpace(status.Status().Message), err}
	}
	return err
}

// noRights is the API server's refusal to let somebody read, in its words alone.
type noRights struct {
	words string
	err   error
}

func (e *noRights) Error() string { return e.words }

func (e *noRights) Unwrap() error { return e.err }
