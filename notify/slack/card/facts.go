package card

import (
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Facts are all that a card renders.
type Facts struct {
	// Rollback is the record.
	Rollback *v1alpha1.Rollback
	// Cluster names this cluster.
	Cluster string
	// Policies that apply. Each of them has to let a person decide.
	Policies []Policy
	// Cooldown of the policy; zero for none or unknown.
	Cooldown time.Duration
	// Budget of automatic reverts on one branch, as COUNT/DURATION; empty for none or unknown.
	Budget string
	// Mode that applies; empty for unknown. In mode Auto what keeps the policy from deciding may go away by itself.
	Mode v1alpha1.Mode
	// Links finds commits' pages.
	Links Links
}

// Policy is one policy that applies.
type Policy struct {
	// Name is its namespace/name.
	Name string
	// Approvers may decide on Slack, as it says.
	Approvers v1alpha1.SlackApproval
}
