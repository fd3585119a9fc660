package gitrepo

import (
	"context"
	"net/url"
	"time"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/wire"
)

// API prepares the way to the API beside the server that a source pushes to. Nothing is sent yet.
func API(src reconcile.Source, now func() time.Time) (*reconcile.GitServer, error) {
	src = store.Pushing(src)
	if u, err := url.Parse(src.URL); err == nil && u.Scheme == "ssh" {
		return nil, reconcile.RefuseAs(reconcile.FaultUnauthorized, "GitRepository %s logs in with an SSH key, which opens "+
			"no pull request: an API token is needed beside it", src.Name)
	}
	r, err := wire.Dial(src, now, "")
	if err != nil {
		return nil, err
	}
	login := func(ctx context.Context) (user, token string, err error) {
		if !r.Credentials {
			return "", "", reconcile.RefuseAs(reconcile.FaultUnauthorized, "%s has no credentials: a token is needed to open "+
				"a pull request", r.Source)
		}
		if user, token, err = r.Login(ctx); err != nil {
			return "", "", r.Failed(ctx, "log in to push", err)
		}
		return user, token, nil
	}
	server := &reconcile.GitServer{
		URL: r.URL, Source: r.Source, Client: r.Client, Login: login, Clean: r.Words.Clean, Timeout: r.Timeout,
	}
	if ask := r.Permissions; ask != nil {
		server.Permissions = func(ctx context.Context) (map[string]string, error) {
			granted, err := ask(ctx)
			if err != nil {
				return nil, r.Failed(ctx, "log in to push", err)
			}
			return granted, nil
		}
	}
	return server, nil
}
