package card

import (
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestAnEmptyRollbackIsACard(t *testing.T) {
	if err := Validate(Of(Facts{Rollback: &v1alpha1.Rollback{}, Cluster: "prod-eu-1"})); err != nil {
		t.Error(err)
	}
}
