package reconcile

import (
	"context"
	"io/fs"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Query asks for the commit that brought an image in.
type Query struct {
	// Image as the workload's template names it.
	Image string
	// Namespace and Workload that run it; they tell apart several nodes of one value. Workload may be empty.
	Namespace string
	Workload  v1alpha1.Workload
	// Lift is the HelmRelease that made the workload, as its own inventory says; empty for none. Whoever writes that
	// inventory must not reach the values of others by it.
	Release v1alpha1.ObjectRef
	// Container, where known.
	Container string
	// Root to search, and the other roots that may share its files.
	Root   Root
	Others []Root
	// Policies that image automation knows, to tell its changes from a person's by value.
	Policies []ImagePolicy
	// Applied is the commit that the pods run, where known: it is searched where the tip says the image no more.
	Applied string
	// ByPerson means that a person asks, who has a clone and no cluster: Flux's own files lead on from the root, and an
	// image is found without its digest.
	ByPerson bool
}

// Former is what the nodes held before, at one commit.
type Former struct {
	// Commit at which the nodes held these values.
	Commit string
	// Image that they make; for a lone tag or digest with the rest of the reference filled in from the suspect image.
	Image string
	// Values for the suspect's nodes.
	Values []v1alpha1.PlaceValue
}

// Branch is the tip of the deployed branch, seen from one suspect.
type Branch struct {
	// Tip is the hash of the branch's newest commit.
	Tip string
	// Values of the suspect's nodes at the tip, by index; a node that is gone is missing.
	Values map[int32]string
	// Held says by index whether the node's marker carries a hold.
	Held map[int32]Hold
	// Commits are Backstop's own commits since the suspect, or since the time asked for, whichever is longer ago; newest
	// first.
	Commits []TrailerCommit
	// HoldsTarget is the oldest commit after the suspect from which on the branch holds the target; empty when the tip
	// does not.
	HoldsTarget string
}

// TrailerKind tells Backstop's commits apart.
type TrailerKind string

// The kinds of commits that Backstop makes.
const (
	TrailerRevert TrailerKind = "Revert"
	TrailerHold   TrailerKind = "Hold"
	TrailerLift   TrailerKind = "Lift"
)

// TrailerCommit is one of Backstop's own commits, read from its trailers.
type TrailerCommit struct {
	// Commit and its committer time.
	Commit string
	When   time.Time
	// Kind of the commit.
	Kind TrailerKind
	// Rollbacks are CLUSTER/NAMESPACE/NAME of those that it serves (Backstop-Rollback).
	Rollbacks []string
	// Images reverted, or selected for a lift (Backstop-Image).
	Images []string
	// Workloads concerned, as CLUSTER/NAMESPACE/Kind/name (Backstop-Workload).
	Workloads []string
	// Reverts are the suspect commits ("This reverts commit …").
	Reverts []string
	// Policies held or lifted, namespace:name (Backstop-Policy).
	Policies []string
	// Places that were written, as PlaceID names them (Backstop-Place); none in a commit of format 0.
	Places []string
	// Cluster is the UID of the kube-system namespace of the cluster that made it (Backstop-Cluster); empty where it could
	// not be read.
	Cluster string
	// Subjects that it is about, such as "Image reg/app:v2" (Backstop-Subject).
	Subjects []string
	// Format of the trailers (Backstop-Format): 0 for those without places.
	Format int
}

// TrailerFormat is the format of the trailers that this Backstop writes.
const TrailerFormat = 1

// PlaceID names a node in trailers: its file and its pointer.
func PlaceID(file, pointer string) string {
	return cut(strings.Join(strings.Fields(file+"#"+strings.TrimPrefix(pointer, "#")), " "), 500)
}

// Revert is one Rollback's wish for the branch, planned again on every tip that a push would replace.
type Revert struct {
	// Rollback as CLUSTER/NAMESPACE/NAME.
	Rollback string
	// Cluster is the UID of the cluster, for the trailers; empty where it could not be read.
	Cluster string
	// Image and Workloads for the trailers. Subject is what it is about where that is no image.
	Image     string
	Subject   string
	Workloads []string
	// Suspect and Target: nodes and their values.
	Suspect v1alpha1.Suspect
	Target  v1alpha1.Target
	// Hold writes a hold on the nodes' markers.
	Hold bool
	// Lift is written into the hold, so that it says itself what lifts it.
	Lift v1alpha1.LiftMode
	// Failures are why, for a pull request.
	Failures []StoryFailure
	// Trailers to add, such as Approved-by.
	Trailers []string
	// Since reaches further back than the suspect for the Commits that Permit sees, as in Look.
	Since time.Time
	// Permit is asked with the tip that the push would replace, within the mirror's lock. A refusal leaves this
	// Revert out; the others go on.
	Permit func(Branch) error
	// Proof is asked whether what a push would leave may be pushed, with the files of the tip and those after it; nil for
	// no such question. A refusal leaves this Revert out. It must not ask the mirror, whose lock is held.
	Proof func(ctx context.Context, tip, after fs.FS) error
	// undo is what Proof asks.
	undo UndoProof
	// Still is asked right before the push is sent, as the plan may have taken long; nil for no such question. What it
	// refuses is planned again, and Permit explains why it is left out.
	Still func() error
}

// Landing is what became of one Revert.
type Landing struct {
	// Change that was pushed, and the holds that it left; nil when it was not.
	Change *v1alpha1.Change
	Holds  []v1alpha1.Hold
	// Err explains why not: what Permit said, or a refusal such as a SOPS file.
	Err error
}

// Hold is a hold found in Git, which describes itself.
type Hold struct {
	// File and Pointer of the node.
	File    string
	Pointer string
	// Policy is namespace:name of the marker.
	Policy string
	// Not is the value that failed.
	Not string
	// Since is when the hold was written.
	Since time.Time
	// Lift says what lifts it.
	Lift v1alpha1.LiftMode
	// Value of the node now.
	Value string
	// Image the node names now, as far as the node says it (name:tag, or a lone tag).
	Image string
	// Commit that wrote the hold and the Rollback that it names, CLUSTER/NAMESPACE/NAME; empty where the trailer was not
	// found.
	Commit   string
	Rollback string
	// Failed are the images that Backstop reverted from this node, newest first.
	Failed []string
}

// Git reads and writes the deployed branch of a source.
type Git interface {
	GitWriter
	// Blame finds the commit that brought the image in. A Refusal explains why none is to be found.
	Blame(ctx context.Context, src Source, q Query) (v1alpha1.Suspect, error)
	// Former lists what the suspect's nodes held before, newest first, at most max.
	Former(ctx context.Context, src Source, s v1alpha1.Suspect, max int) ([]Former, error)
	// Look fetches and describes the tip as seen from the suspect; since reaches further back for Commits.
	Look(ctx context.Context, src Source, s v1alpha1.Suspect, t *v1alpha1.Target, since time.Time) (Branch, error)
	// Holds lists the holds below the roots at the tip.
	Holds(ctx context.Context, src Source, roots []Root) ([]Hold, error)
	// Images lists by container which images the files say for a workload at a commit. What cannot be told is missing, and
	// why says so, by container too.
	Images(ctx context.Context, src Source, q Wanted) (images, why map[string]string, err error)
	// Contains reports whether a commit is reachable from another one that the source knows.
	Contains(ctx context.Context, src Source, tip, commit string) (bool, error)
}

// GitWriter writes the branches of a source. It never forces.
type GitWriter interface {
	// Land pushes the reverts, as many as are permitted on one tip in one push, and answers for each by index.
	// An error of the whole is retryable unless it is a Refusal.
	Land(ctx context.Context, src Source, reverts []Revert) ([]Landing, error)
	// Propose puts the reverts of one suspect on a branch of their own, for a pull request to the deployed branch.
	Propose(ctx context.Context, src Source, onto Onto, reverts []Revert) (Proposed, error)
	// Lift takes holds away in one push, and gives the commit; none where there is no such hold any more.
	Lift(ctx context.Context, src Source, lift Lift) (string, error)
}

// Wanted asks what Git has a workload run.
type Wanted struct {
	// Commit to read.
	Commit string
	// Root to search.
	Root Root
	// Namespace and Workload that runs them.
	Namespace string
	Workload  v1alpha1.Workload
	// Containers, each with the images that it had and has: of values that may be meant in more than one way, as those of
	// a chart, the first that the files say counts.
	Containers map[string][]string
}

// Lift asks for holds to be taken away.
type Lift struct {
	// Policy whose holds are lifted, namespace:name.
	Policy string
	// Not restricts it to holds of that value; empty lifts all of the policy.
	Not string
	// Roots to search.
	Roots []Root
	// Places restricts it to the holds on these nodes and on those that make one image with them; none lifts those of all.
	Places []v1alpha1.Place
	// Person means that somebody asked for it: without, holds that wait for a person are left.
	Person bool
	// Permit is asked on every tip that is tried, and right before the push is sent; nil permits.
	Permit func() error
	// Onto is the branch of a pull request that the commit goes to; empty for the deployed branch. When dates it then, so
	// that whoever lifts the same makes the same commit, and And are further policies whose holds go with it.
	Onto string
	When time.Time
	And  []string
	// Image selected now, By whom, Because of what a person gave as the reason, and the Rollback, for the trailers.
	Image    string
	By       string
	Because  string
	Rollback string
	Cluster  string
}

// Onto is the branch of a pull request.
type Onto struct {
	// Branch by name.
	Branch string
	// Rebuild makes it anew on the deployed branch as that is now, where it holds nothing but the reverts.
	Rebuild bool
}

// Proposed is what became of reverts that were put on the branch of a pull request.
type Proposed struct {
	// Base is the tip of the deployed branch that they were permitted on, and Head that of the pull request's branch;
	// empty where none was permitted.
	Base, Head string
	// Own means that what the branch brings is these reverts, to the byte, and nothing else.
	Own bool
	// Message is that of the revert's commit, and Before those of the commits that stood on the branch already.
	Message string
	Before  []string
	// Landings say by index why a revert is not among them. None has a change: nothing has landed.
	Landings []Landing
}

// StoryFailure is what one workload suffers from, with the words of whoever saw it.
type StoryFailure struct{ Workload, Cause, Message string }

// UndoProof reports whether what reverting files would leave may be pushed, with the files of the tip and those after
// it. It gives what changes together with what failed; a Refusal that names its doubt explains why not.
type UndoProof func(ctx context.Context, tip, after fs.FS) ([]v1alpha1.ObjectRef, error)
