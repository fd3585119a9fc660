package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// Prove asks for an image. It never fails: what could not be learned is FindingUnproved, with the reason. The same
// question asked by several at once, or again within ten seconds, is put to the registry once.
func (r *Registry) Prove(ctx context.Context, q reconcile.Question) reconcile.Proof {
	key := questionKey(q)
	if kept, ok := r.answers.Get(key); ok {
		if p := kept.(reconcile.Proof); r.now().Sub(p.At) < remembered {
			return p
		}
	}
	asked := r.flight.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
		defer cancel()
		start := r.now()
		p := r.prove(ctx, q)
		p.At = r.now()
		r.log.Debug("asked the registry", "image", clip(q.Image),
			"finding", p.Finding, "cause", p.Cause, "took", p.At.Sub(start))
		if p.Finding != reconcile.FindingUnproved {
			r.answers.Add(key, p)
		}
		return p, nil
	})
	select {
	case done := <-asked:
		return done.Val.(reconcile.Proof)
	case <-ctx.Done():
		return reconcile.Proof{
			Finding: reconcile.FindingUnproved, Cause: v1alpha1.CauseUnknown, At: r.now(),
			Sentence: fmt.Sprintf("nobody waited for the registry's answer about %s", clip(q.Image)),
		}
	}
}

// prove asks with one credential after the other, as the kubelet does, until one is let in.
func (r *Registry) prove(ctx context.Context, q reconcile.Question) reconcile.Proof {
	t, err := parse(q.Image, q.Access)
	if err != nil {
		return verdict(err)
	}
	var proof reconcile.Proof
	err = r.try(ctx, t, q.Access, func(s *session) error {
		p := &probe{r: r, s: s, t: t, q: q}
		found, err := p.run(ctx)
		proof = found
		return err
	})
	if err != nil {
		return verdict(err)
	}
	return proof
}

// ResolveDigest gives the digest of an image's manifest or index. The error is an *Error; its cause is NotFound where
// the registry answers 404, which proves nothing by itself.
func (r *Registry) ResolveDigest(ctx context.Context, image string, access reconcile.Access) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	t, err := parse(image, access)
	if err != nil {
		return "", err
	}
	var digest string
	err = r.try(ctx, t, access, func(s *session) error {
		m, err := s.resolve(ctx, t.ref.Identifier())
		digest = m.digest.String()
		return err
	})
	if err != nil {
		return "", err
	}
	return digest, nil
}

// Tags lists the tags of a repository in the registry's order, at most max. The error is an *Error.
func (r *Registry) Tags(ctx context.Context, repository string, access reconcile.Access, max int) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	t, err := parse(repository, access)
	if err != nil {
		return nil, err
	}
	var tags []string
	err = r.try(ctx, t, access, func(s *session) error {
		tags, err = s.tags(ctx, max)
		return err
	})
	return tags, err
}

// try does something in a session for a repository with one access after the other until one gets through.
func (r *Registry) try(ctx context.Context, t target, access reconcile.Access, do func(*session) error) error {
	first := r.tryAccess(ctx, t, access, do)
	err := first
	for next := access.Next; next != nil && ctx.Err() == nil; next = next.Next {
		if e := asError(err); e == nil || e.proved || e.Cause == v1alpha1.CauseRateLimited {
			return err
		}
		again, perr := t.by(*next)
		if perr != nil {
			break
		}
		err = r.tryAccess(ctx, again, *next, do)
	}
	if asError(err) != nil && asError(first).Cause != v1alpha1.CauseUnauthorized && !asError(err).proved {
		return first
	}
	return err
}

// tryAccess does it with the first credential of an access that is let in.
func (r *Registry) tryAccess(ctx context.Context, t target, access reconcile.Access, do func(*session) error) error {
	creds, note := credentials(access.DockerConfigs, t.familiar)
	if len(creds) == 0 {
		if byCloud(access.Provider) {
			return &Error{Cause: v1alpha1.CauseUnauthorized, Sentence: fmt.Sprintf(
				"%s is asked with the identity of provider %s, which is not supported yet: a pull secret for it is",
				t.host(), clip(access.Provider))}
		}
		creds = anonymous()
	}
	var err error
	for _, c := range creds {
		err = r.tryOne(ctx, t, access, c, do)
		e := asError(err)
		if e == nil || e.Cause != v1alpha1.CauseUnauthorized {
			return err
		}
		err = &Error{Cause: e.Cause, Sentence: e.Sentence + c.describe() + note}
	}
	return err
}

// tryOne does something in a session. One that was open before is opened anew when the registry refuses it.
func (r *Registry) tryOne(
	ctx context.Context, t target, access reconcile.Access, c credential, do func(*session) error,
) error {
	if err := r.limits.closed(askerOf(t, access, c)); err != nil {
		return err
	}
	for again := true; ; again = false {
		s, kept, err := r.open(ctx, t, access, c)
		if err != nil {
			return err
		}
		err = do(s)
		if e := asError(err); e == nil || e.Cause != v1alpha1.CauseUnauthorized {
			return err
		}
		r.sessions.Remove(sessionKey(t, access, c))
		if !kept || !again {
			return err
		}
	}
}

// byCloud reports whether a provider's credentials come from the identity of a cloud's workload.
func byCloud(provider string) bool { return provider != "" && provider != "generic" }

// verdict makes a proof of what kept the answer away, or of what proves the absence.
func verdict(err error) reconcile.Proof {
	e := asError(err)
	p := reconcile.Proof{Finding: reconcile.FindingUnproved, Cause: e.Cause, Sentence: e.Sentence, Artifact: e.artifact,
		Untrusted: e.untrusted, Digest: e.digest}
	switch {
	case e.proved:
		p.Finding = reconcile.FindingAbsent
	case e.Cause.ImageFault():
		p.Cause = v1alpha1.CauseUnknown
	}
	return p
}

// questionKey tells questions apart without keeping what is secret in them.
func questionKey(q reconcile.Question) string {
	h := sha256.New()
	add(h, q.Image, q.Witness, fmt.Sprint(q.Deep), fmt.Sprint(q.Rescanned), fmt.Sprint(len(q.Platforms)))
	add(h, q.Platforms...)
	addAccess(h, q.Access)
	return hex.EncodeToString(h.Sum(nil))
}
