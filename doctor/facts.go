package doctor

import (
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

// Facts are all that is known of a namespace.
type Facts struct {
	Now             time.Time
	Namespace       string
	NamespaceLabels map[string]string
	Sidecar         Sidecar
	// Policies of the namespace and of Backstop's own; PoliciesUnread reports which could not be read.
	Policies       []v1alpha1.RollbackPolicy
	PoliciesUnread string
	// Fences are Backstop's admission policies, as far as they could be read.
	Fences []kube.Fence
	// Cancels reports whether kustomize-controller gives health checks up for a new revision; nil where nobody can tell.
	// HelmCancels says it of helm-controller.
	Cancels, HelmCancels *bool
	Workloads            []Workload
	// Unreadable are objects that Backstop cannot decode and therefore leaves out.
	Unreadable []Unreadable
}

// Unreadable is an object that Backstop cannot decode.
type Unreadable struct {
	Ref v1alpha1.ObjectRef
	// Why names the field.
	Why string
}

// Sidecar is Backstop as it runs.
type Sidecar struct {
	// Namespace that it runs in, and its Deployment there; empty if absent.
	Namespace, Deployment string
	// Holder is who holds its Lease where there is no Deployment: it runs, and its flags are not known.
	Holder string
	// Unread explains why it was not read.
	Unread string
	// Available replicas, and the arguments that it is run with.
	Available int32
	Args      []string
}

// Workload is one workload that could be reverted.
type Workload struct {
	v1alpha1.Workload
	Labels map[string]string
	// Chain is what Flux has before it; where there is nothing NotFlux explains why.
	Chain   *flux.Chain
	NotFlux string
	// Unread describes what the reader may not read, so that nobody can tell whether Flux applies it.
	Unread string
	Sight
	// Source is where a revert would be pushed; if absent, NoSource explains why.
	Source   *Source
	NoSource string
	// NoRights means that NoSource is about what the reader may not read.
	NoRights bool
	// Secrets that Backstop has to read.
	Secrets []Secret
	Images  []Image
	// Ordered and OnDelete say that pods which wait for a bad image are not replaced by themselves; MayDelete whether
	// Backstop may delete them, nil where nobody can tell.
	Ordered, OnDelete bool
	MayDelete         *bool
	DependsOn         []Dependency
	// Recovered are the last recoveries, the newest first.
	Recovered []Measured
	// Refused are words of the Git server to Backstop or to image automation, when it refused a push.
	Refused string
}

// Source is where a revert would be pushed.
type Source struct {
	// Ref is the GitRepository, and Branch what it follows.
	Ref    v1alpha1.ObjectRef
	Branch string
	// Secret that it is pushed with, as namespace/name; empty for none.
	Secret string
	// ReadOnly explains why nothing may be pushed to the branch, NoKey why the key that signs cannot be used.
	ReadOnly, NoKey string
	// NoKeyUnread means that the reader may not see that key.
	NoKeyUnread bool
	// Lend is the command by which the owner of the GitRepository lets Backstop push with it; empty where that is not what
	// is missing.
	Lend string
	// Verified means that Flux wants signed commits, Signed that there is a key.
	Verified, Signed bool
	// Refused explains why the server, or the key, does not let a push begin; Unknown why it could not be asked.
	Refused, Unknown string
	// Aside explains why changes reach Branch by pull request, where image automation pushes to another one; empty where
	// it does not.
	Aside string
	// Delivery is what the provider of pull requests says; nil where the policy opens none.
	Delivery *Delivery
}

// Delivery is what a provider of pull requests says of a branch.
type Delivery struct {
	// Wants reports whether its rules take a pull request and no push; nil where it does not tell.
	Wants *bool
	// Why no pull request could be opened.
	Why string
	// Signs means that the provider signs what is committed with the login.
	Signs bool
	// Rights are what the login may do there.
	Rights reconcile.Rights
}

// Secret is one that Backstop has to read.
type Secret struct {
	// Namespace and Name, and For what.
	Namespace, Name, For string
	// Holds is what it holds.
	Holds Holds
	// Missing means that there is no such Secret.
	Missing bool
	// Allowed reports whether Backstop's ServiceAccount may; nil where nobody can tell.
	Allowed *bool
}

// Holds is what is kept in a Secret.
type Holds string

// What Secrets hold.
const (
	HoldsGitLogin      Holds = "a login for Git"
	HoldsRegistryLogin Holds = "a login for the registry"
	HoldsKey           Holds = "a key that signs"
	HoldsCertificates  Holds = "certificates"
	HoldsProxy         Holds = "a proxy"
)

// Image is what the registry says of an image that runs.
type Image struct {
	Image string
	Proof reconcile.Proof
	// Other is another tag of the repository that is seen; empty where none is. Unlisted explains why tags are not listed.
	Other, Unlisted string
	// Missing reports which credentials could not be read.
	Missing string
	// Scan is the ImageRepository by which it is asked for, as namespace/name; empty for none.
	Scan string
}

// Dependency is a Kustomization or HelmRelease that must be ready first.
type Dependency struct {
	Ref v1alpha1.ObjectRef
	// Why it is not ready; empty when it is. Unread explains why it was not read.
	Why, Unread string
	// Suspended means that it will not be ready before it is resumed.
	Suspended bool
	// Wait is how long its health checks last at the longest.
	Wait time.Duration
}

// flagOf is the value of a flag of the sidecar; empty where it is not given.
func (s Sidecar) flagOf(name string) string {
	value := ""
	for i, a := range s.Args {
		switch {
		case strings.HasPrefix(a, "--"+name+"="):
			value = strings.TrimPrefix(a, "--"+name+"=")
		case a == "--"+name && i+1 < len(s.Args) && !strings.HasPrefix(s.Args[i+1], "-"):
			value = s.Args[i+1]
		case a == "--"+name:
			value = "true"
		}
	}
	return value
}

// ceiling is what the sidecar's flags allow at most.
func (s Sidecar) ceiling() reconcile.Ceiling {
	return reconcile.Ceiling{
		Mode: v1alpha1.Mode(s.flagOf("max-mode")), Authors: v1alpha1.Authors(s.flagOf("max-authors")),
		NoCrossNamespaceRefs: s.flagOf("no-cross-namespace-refs") == "true",
	}
}

// platform are the namespaces of those who run the cluster; nil is the flag's default.
func (s Sidecar) platform() []string {
	if list := s.flagOf("platform-namespaces"); list != "" {
		return strings.Split(list, ",")
	}
	return nil
}

// watches reports whether the sidecar looks into a namespace.
func (s Sidecar) watches(namespace string) bool {
	list := s.flagOf("namespaces")
	return list == "" || slices.Contains(strings.Split(list, ","), namespace)
}

// policyOf is what may be done about a workload, for one trigger.
func (f *Facts) policyOf(w *Workload, trigger v1alpha1.TriggerType) reconcile.Policy {
	subject := reconcile.Subject{
		Name: w.String(), Namespace: f.Namespace, NamespaceLabels: f.NamespaceLabels, Labels: w.Labels,
	}
	return reconcile.Resolve(trigger, []reconcile.Subject{subject}, f.Policies, f.Sidecar.Namespace, f.Sidecar.ceiling())
}

// Measured is a recovery that took place.
type Measured struct {
	// Rollback that tells of it, and when it ended.
	Rollback string    `json:"rollback"`
	At       time.Time `json:"at"`
	// Seconds from the commit that holds the good image on the branch to its verification.
	Seconds float64 `json:"seconds"`
}

// Recovery is how long a workload takes from the pushed revert to the good image.
type Recovery struct {
	// AtMost is how long Flux may keep the revert from being applied now, and GatesOn how long with
	// CancelHealthCheckOnNewRevision in both controllers, and FastForward how long until the workload has the good image
	// where fast-forward is allowed; in seconds.
	AtMost      float64 `json:"atMostSeconds"`
	GatesOn     float64 `json:"gatesOnSeconds"`
	FastForward float64 `json:"fastForwardSeconds"`
	// Measured are the last recoveries, the newest first.
	Measured []Measured `json:"measured,omitempty"`
}
