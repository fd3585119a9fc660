package integration

import (
	"slices"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/node"
)

// What a workload says, or smells of, about being undone.

func migrationHint(t *testing.T, w *World) {
	const env = "hint"
	bad := w.publishThat("backend", fleet.Tag(env, 1), node.Behaviour{Exit: 1})
	w.wroteBack(env, "backend", fleet.Tag(env, 1))
	if r, _ := w.crashed(env, bad); !slices.Contains(doubtTypes(r), v1alpha1.DoubtMigration) {
		t.Errorf("asked because of %v", doubtTypes(r))
	}
}

func annotatedNever(t *testing.T, w *World) {
	const env = "annotated"
	bad := w.publishThat("backend", fleet.Tag(env, 1), node.Behaviour{Exit: 1})
	w.wroteBack(env, "backend", fleet.Tag(env, 1))
	w.ends(env, bad, v1alpha1.ResultReportedOnly, "Deployment/backend says backstop.dev/rollback: never")
}
