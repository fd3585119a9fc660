package render

import (
	"context"
	"io/fs"
)

// Text renders a tree into the documents that kustomize-controller makes the digest of.
func Text(ctx context.Context, tree fs.FS, job *Job) (string, error) {
	data, _, err := text(ctx, tree, job)
	return string(data), err
}
