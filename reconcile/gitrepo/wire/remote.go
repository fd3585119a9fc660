package wire

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/backstop-dev/backstop/reconcile"
)

// defaultTimeout bounds one network operation where the source says nothing, as Flux does.
const defaultTimeout = 60 * time.Second

// MaxTimeout bounds it whatever the source says: a server that drips holds the mirror no longer.
const MaxTimeout = 10 * time.Minute

// Remote is the way to one Git server with one set of credentials. Sessions are opened on transports of its own:
// go-git's registry of clients is global and would mix the credentials of all sources.
type Remote struct {
	// Key changes with everything that the connection is made of.
	Key string
	// Source, URL and Branch as sentences name them.
	Source  string
	URL     string
	Branch  plumbing.ReferenceName
	Timeout time.Duration
	// Credentials reports whether there are any.
	Credentials bool
	Words       *Redactor
	upload      func(context.Context) (transport.UploadPackSession, error)
	receive     func(context.Context) (transport.ReceivePackSession, error)
	// Client and Login are the way to the API beside the Git server; nil over SSH.
	Client *http.Client
	Login  func(context.Context) (user, token string, err error)
	// Permissions are those of a GitHub App's installation; nil for other logins.
	Permissions func(context.Context) (map[string]string, error)
	// fault is the last error that the connection itself saw; go-git loses the chain of some.
	fault func() error
	// of is a commit whose pull requests are asked for at the moment.
	of string
	// Meter counts what the server sends in one operation.
	Meter *meter
	// Settle ends what an operation left open, and Close everything.
	Settle, Close func()
}

// The providers of a GitRepository's credentials.
const (
	providerGeneric = "generic"
	providerGitHub  = "github"
)

// BranchRef is the full name of a branch, which Flux also accepts as a reference name.
func BranchRef(branch string) plumbing.ReferenceName {
	return plumbing.NewBranchReferenceName(strings.TrimPrefix(branch, "refs/heads/"))
}

// RemoteKey is a hash over everything that a connection is made of.
func RemoteKey(src reconcile.Source) string {
	h := sha256.New()
	put := func(b []byte) { fmt.Fprintf(h, "%d:", len(b)); h.Write(b) }
	put([]byte(src.URL))
	put([]byte(src.Branch))
	put([]byte(src.Timeout.String()))
	put([]byte(src.Auth.Provider))
	for _, data := range []map[string][]byte{src.Auth.Secret, src.Auth.Proxy} {
		put(nil)
		for _, k := range slices.Sorted(maps.Keys(data)) {
			put([]byte(k))
			put(data[k])
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
