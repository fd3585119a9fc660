package reconcile

import (
	"context"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// A provider is written to by its own library, which may read for seconds before it sends what changes something, and a
// Git server tells its branches before it takes a push, for as long as it likes. What may be written is therefore asked
// in the transport below too, right before each request that is no question.

type permitKey struct{}

// Permitted asks what a context's writes need, right before one is sent; nil where it may be.
func Permitted(ctx context.Context) error {
	permit, ok := ctx.Value(permitKey{}).(func() error)
	if !ok {
		return nil
	}
	return permit()
}

// WithPermit is a context in which a write asks first, after what the context asks already.
func WithPermit(ctx context.Context, permit func() error) context.Context {
	return context.WithValue(ctx, permitKey{}, func() error {
		if err := Permitted(ctx); err != nil {
			return err
		}
		return permit()
	})
}

// asking is a context in which a write asks the gate live for each of the Rollbacks that it is for.
func (e *Engine) asking(ctx context.Context, lift bool, rollbacks ...*v1alpha1.Rollback) context.Context {
	read := &rules{}
	return WithPermit(ctx, func() error {
		for _, rb := range rollbacks {
			if err := e.gate(ctx, rb, read, lift); err != nil {
				return err
			}
		}
		return nil
	})
}
