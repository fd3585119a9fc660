package reconcile

import (
	"fmt"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Auth holds the credentials of a Git server, as the Flux object's Secrets hold
// them. It prints as "[redacted]" whatever the verb.
type Auth struct {
	// Provider is the GitRepository's spec.provider: generic, github, azure, aws.
	Provider string
	// Secret is the data of the GitRepository's secretRef; nil for none.
	Secret map[string][]byte
	// Proxy is the data of its proxySecretRef; nil for none.
	Proxy map[string][]byte
}

// Format keeps secrets out of every print, log and error.
func (Auth) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// LogValue keeps secrets out of structured logs.
func (Auth) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// MarshalJSON keeps secrets out of everything encoded.
func (Auth) MarshalJSON() ([]byte, error) { return []byte(`"[redacted]"`), nil }

// SigningKey is the automation's commit signing key. It prints as "[redacted]".
type SigningKey struct {
	// Type is gpg or ssh.
	Type string
	// Key is the armored private key, or the SSH private key in PEM.
	Key []byte
	// Passphrase of the key; empty for none.
	Passphrase []byte
}

// Format keeps the key out of every print, log and error.
func (SigningKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// LogValue keeps the key out of structured logs.
func (SigningKey) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// MarshalJSON keeps the key out of everything encoded.
func (SigningKey) MarshalJSON() ([]byte, error) { return []byte(`"[redacted]"`), nil }

// Pusher is a GitRepository whose access is used to push.
type Pusher struct {
	// Name of the GitRepository object.
	Name types.NamespacedName
	// URL to push to, as in the object's spec.
	URL string
	// Timeout of one network operation; 60 s where the object says nothing.
	Timeout time.Duration
	// Auth to push.
	Auth Auth
}

// Login is one for the API of a provider alone.
type Login struct {
	// Name of the Secret.
	Name types.NamespacedName
	// Auth that it holds.
	Auth Auth
}

// Source is the GitRepository that deploys, which Backstop reads and may push to.
type Source struct {
	// Name of the GitRepository object; one mirror each.
	Name types.NamespacedName
	// URL to fetch, as in the object's spec.
	URL string
	// Branch that the source deploys.
	Branch string
	// Since is when the branch may have been fetched at the earliest for what is only looked at; zero fetches it anew.
	Since time.Time
	// Timeout of one network operation; 60 s where the object says nothing.
	Timeout time.Duration
	// Auth to fetch.
	Auth Auth
	// Push is the other GitRepository that pushes to Branch; nil where this one does. What it pushes counts once this one
	// shows it.
	Push *Pusher
	// API is what the provider's API is asked with, where that is another login than the one that pushes.
	API *Login
	// AuthorName and AuthorEmail sign the commits: the automation's, or Backstop's own.
	AuthorName, AuthorEmail string
	// Signing key of the automation; nil for none.
	Signing *SigningKey
	// Asks are options of a push, as NAME=VALUE, that go with what is pushed to a branch of Backstop's: some servers open
	// a pull request by them.
	Asks []string
	// Verified means that Flux only accepts signed commits (spec.verify), so that a push without Signing is refused.
	Verified bool
	// ReadOnly says in a sentence why nothing may be pushed to Branch (pinned to a tag, the automation works on
	// another branch, …); empty when it may.
	ReadOnly string
	// ReadOnlyKind is the kind of fault that ReadOnly tells, where it is one; empty where it is not, as of a tag.
	ReadOnlyKind FaultKind
	// Aside says in a sentence why changes reach Branch by pull request, where image automation pushes to another one;
	// empty where it does not. Nothing is pushed to Branch then.
	Aside string
	// Lend is the command by which the owner of a GitRepository lets Backstop push with it here; empty where that is not
	// what keeps it from pushing.
	Lend string
	// NoKey says in a sentence why the automation's signing key cannot be used, which ReadOnly says then too; empty where
	// it can, or there is none.
	NoKey string
	// NoKeyUnread means that the reader may not see whether it can: Backstop itself may.
	NoKeyUnread bool
}

// Format leaves out the credentials and what a URL may hold of them.
func (s Source) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "%s at %s", s.Name, s.Branch)
}

// Pushes names the GitRepository that pushes.
func (s Source) Pushes() types.NamespacedName {
	if s.Push != nil {
		return s.Push.Name
	}
	return s.Name
}

// ImagePolicy of image automation, as Flux has it now.
type ImagePolicy struct {
	// Name is namespace:name, as in a marker.
	Name string
	// Latest is the selected reference, name:tag[@digest]; empty when none is.
	Latest string
	// Previous is status.observedPreviousRef.
	Previous string
	// Automation that writes its markers; nil when none was found.
	Automation *v1alpha1.ObjectRef
}

// Root is a folder in the source that a Flux object renders.
type Root struct {
	// By is the Kustomization (or the one that applies the HelmRelease).
	By v1alpha1.ObjectRef
	// Path in the repository, cleaned, without a leading "./"; empty is the root.
	Path string
}
