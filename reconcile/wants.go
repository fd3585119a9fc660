package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Want is what Git and Flux want of a workload.
type Want struct {
	Applied
	// NotFlux explains why Flux does not apply the workload after all; empty when it does. Then nothing else is filled in.
	NotFlux string
	// Images that Git says by container, at the revision that was applied.
	Images map[string]string
	// Why explains by container what keeps its image in Git from being read.
	Why map[string]string
}

// Wants asks Flux and Git what they want of workloads, in one look: what stands behind several of them is read once.
type Wants struct {
	flux    Flux
	git     Git
	origins map[v1alpha1.ObjectRef]origin
}

// origin is an answer of Flux that is remembered.
type origin struct {
	Origin
	refused string
}

// NewWants begins a look.
func NewWants(f Flux, g Git) *Wants {
	return &Wants{flux: f, git: g, origins: map[v1alpha1.ObjectRef]origin{}}
}

// Want describes what a workload should run. containers are those asked for, each with the images that it had and has;
// since is when somebody changed them. What cannot be read of Git is told and no error: Flux may undo the change
// before Git answers again.
func (l *Wants) Want(
	ctx context.Context, namespace string, w v1alpha1.Workload, since time.Time, containers map[string][]string,
) (Want, error) {
	applied, err := l.flux.Applied(ctx, namespace, w, since)
	if why, refused := AsRefusal(err); refused {
		return Want{NotFlux: why}, nil
	}
	if err != nil {
		return Want{}, fmt.Errorf("ask Flux what it applied to %s: %w", w, err)
	}
	out := Want{Applied: applied}
	if applied.Busy != "" {
		return out, nil
	}
	o, err := l.origin(ctx, namespace, w, applied.Reconciler)
	if err != nil {
		return Want{}, fmt.Errorf("find the source of %s: %w", w, err)
	}
	unsaid := o.refused
	switch {
	case unsaid != "":
	case applied.Commit == "":
		unsaid = applied.Reconciler.String() + " does not say which commit it applied"
	case o.Images:
		unsaid = "spec.images of " + o.Root.By.String() + " change what the files say"
	default:
		out.Images, out.Why, err = l.git.Images(ctx, o.Source, Wanted{
			Commit: applied.Commit, Root: o.Root, Namespace: namespace, Workload: w, Containers: containers,
		})
		if ctx.Err() != nil {
			return Want{}, ctx.Err()
		}
		if err != nil {
			unsaid = cut("it does not answer: "+err.Error(), 300)
		}
	}
	if unsaid != "" {
		out.Why = map[string]string{}
		for c := range containers {
			out.Why[c] = unsaid
		}
	}
	return out, nil
}

func (l *Wants) origin(ctx context.Context, namespace string, w v1alpha1.Workload, by v1alpha1.ObjectRef,
) (origin, error) {
	if o, ok := l.origins[by]; ok {
		return o, nil
	}
	found, err := l.flux.Origin(ctx, namespace, w, nil, time.Time{})
	why, refused := AsRefusal(err)
	if err != nil && !refused {
		return origin{}, err
	}
	o := origin{Origin: found, refused: why}
	l.origins[by] = o
	return o, nil
}
