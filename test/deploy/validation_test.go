package deploy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// policies gives the API server each piece of nonsense in an otherwise good spec.
func (s suite) policies(t *testing.T) {
	const (
		duration = "must be a duration"
		pull     = "triggers: [{type: ImagePull, mode: Auto}]"
	)
	for _, tt := range []struct{ name, spec, field, want string }{
		{"the least", pull, "", ""},
		{"everything", `
suspend: false
selector: {matchLabels: {tier: web}, matchExpressions: [{key: a, operator: In, values: [b]}, {key: c, operator: Exists}]}
namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: apps}}
triggers: [{type: ImagePull, mode: Auto, gracePeriod: 30s, maxAge: 24h, authors: Automation}, {type: Drift, mode: Approve, authors: Anyone}]
cooldown: 1h30m
approval: {timeout: 1h, slack: {users: [U024BE7LH, W1A2B3], userGroups: [S0604QSJC], channelMembers: false}}
delivery: Push
pullRequest: {provider: Gitea}
lift: NewerImage
verifyTimeout: 15m0s
sourceRef: {name: fleet-rw, namespace: flux-system}
providerRef: {name: slack}`, "", ""},
		{"the shortest durations", "triggers: [{type: ImagePull, mode: Auto, gracePeriod: 0s, maxAge: 1ms}]" + "\ncooldown: 0s\nverifyTimeout: 1s\napproval: {timeout: 1s}", "", ""},
		{"long durations", "triggers: [{type: ImagePull, mode: Auto, gracePeriod: 1h, maxAge: 999999h}]" + "\ncooldown: 8760h\nverifyTimeout: 604800s", "", ""},
		{"a fraction", "triggers: [{type: ImagePull, mode: Auto, gracePeriod: 1.5s}]", "", ""},

		{"no triggers", "cooldown: 30m", "spec.triggers", "Required value"},
		{"empty triggers", "triggers: []", "spec.triggers", "list at least one trigger, such as {type: ImagePull, mode: Notify}"},
		{"trigger twice", "triggers: [{type: ImagePull, mode: Auto}, {type: ImagePull, mode: Notify}]", "spec.triggers", "Duplicate value"},
		{"unknown trigger", "triggers: [{type: Crash, mode: Auto}]", "spec.triggers[0].type", `supported values: "ImagePull", "Rollout", "Canary", "Apply", "Drift"`},
		{"unknown mode", "triggers: [{type: ImagePull, mode: Always}]", "spec.triggers[0].mode", `supported values: "Notify", "Approve", "Auto"`},
		{"trigger without a mode", "triggers: [{type: ImagePull}]", "spec.triggers[0].mode", "Required value"},
		{"a drift by itself", "triggers: [{type: Drift, mode: Auto}]", "spec.triggers[0].mode", "a drift is never adopted by itself: set mode to Approve or Notify"},
		{"a drift that waits", "triggers: [{type: Drift, mode: Approve, gracePeriod: 30s}]", "spec.triggers[0]", "a drift waits for nothing and is never too old"},
		{"a drift that grows old", "triggers: [{type: Drift, mode: Approve, maxAge: 24h}]", "spec.triggers[0]", "a drift waits for nothing and is never too old"},
		{"triggers that are no list", "triggers: ImagePull", "spec.triggers", "must be of type array"},
		{"nine triggers", "triggers: [" + strings.Repeat("{type: ImagePull, mode: Auto},", 9) + "]", "spec.triggers", "must have at most 8 items"},

		{"duration that is a word", "triggers: [{type: ImagePull, mode: Auto, gracePeriod: abc}]", "spec.triggers[0].gracePeriod", duration + " between 0s and 1h, such as 30s"},
		{"duration without a unit", "triggers: [{type: ImagePull, mode: Auto, maxAge: '30'}]", "spec.triggers[0].maxAge", duration + " of more than 0s, such as 24h"},
		{"duration that is a number", "triggers: [{type: ImagePull, mode: Auto, maxAge: 30}]", "spec.triggers[0].maxAge", "must be of type string"},
		{"duration in days", "triggers: [{type: ImagePull, mode: Auto, maxAge: 7d}]", "spec.triggers[0].maxAge", duration},
		{"empty duration", pull + "\ncooldown: \"\"", "spec.cooldown", duration + " of 0s or more, such as 30m"},
		{"negative duration", pull + "\ncooldown: -5m", "spec.cooldown", duration},
		{"grace of a day", "triggers: [{type: ImagePull, mode: Auto, gracePeriod: 24h}]", "spec.triggers[0].gracePeriod", duration + " between 0s and 1h"},
		{"age of nothing", "triggers: [{type: ImagePull, mode: Auto, maxAge: 0s}]", "spec.triggers[0].maxAge", duration + " of more than 0s"},
		{"no time to verify", pull + "\nverifyTimeout: 500ms", "spec.verifyTimeout", duration + " of at least 1s, such as 15m"},
		{"no time to approve", pull + "\napproval: {timeout: 0s}", "spec.approval.timeout", duration + " of at least 1s, such as 30m or 1h"},
		{"duration longer than time", pull + "\ncooldown: 9999999h", "spec.cooldown", duration},
		{"duration that never ends", pull + "\ncooldown: " + strings.Repeat("1h", 100), "spec.cooldown", "may not be more than 16"},

		{"unknown authors", "triggers: [{type: ImagePull, mode: Auto, authors: Robots}]", "spec.triggers[0].authors", `supported values: "Automation", "Anyone"`},
		{"unknown provider of pull requests", pull + "\npullRequest: {provider: Bitbucket}", "spec.pullRequest.provider", `supported values: "GitHub", "GitLab", "Gitea"`},
		{"unknown delivery", pull + "\ndelivery: Email", "spec.delivery", `supported values: "Auto", "Push", "PullRequest"`},
		{"unknown lift", pull + "\nlift: Never", "spec.lift", `supported values: "NewerImage", "Manual"`},
		{"suspend in words", pull + "\nsuspend: yes please", "spec.suspend", "must be of type boolean"},
		{"field with a typo", "triggers: [{type: ImagePull, mode: Auto, gracePeriode: 30s}]", "spec.triggers[0].gracePeriode", "unknown field"},

		{"Slack user by name", pull + "\napproval: {slack: {users: [alice]}}", "spec.approval.slack.users[0]", "a Slack user is listed by ID"},
		{"Slack group by name", pull + "\napproval: {slack: {userGroups: ['@ops']}}", "spec.approval.slack.userGroups[0]", "a Slack user group is listed by ID"},

		{"unknown operator", pull + "\nselector: {matchExpressions: [{key: a, operator: Is, values: [b]}]}", "spec.selector.matchExpressions", "an operator is In or NotIn with values"},
		{"In without values", pull + "\nselector: {matchExpressions: [{key: a, operator: In}]}", "spec.selector.matchExpressions", "an operator is In or NotIn with values"},
		{"Exists with values", pull + "\nnamespaceSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}", "spec.namespaceSelector.matchExpressions", "Exists or DoesNotExist without"},
		{"expression without a key", pull + "\nnamespaceSelector: {matchExpressions: [{operator: Exists}]}", "spec.namespaceSelector.matchExpressions[0].key", "Required value"},
		{"label too long", pull + "\nselector: {matchLabels: {a: " + strings.Repeat("b", 64) + "}}", "spec.selector.matchLabels", "a label's value has at most 63 characters"},

		{"source without a name", pull + "\nsourceRef: {}", "spec.sourceRef.name", "Required value"},
		{"source with an empty name", pull + "\nsourceRef: {name: ''}", "spec.sourceRef.name", "name must be the name of an object"},
		{"source named by its path", pull + "\nsourceRef: {name: flux-system/fleet}", "spec.sourceRef.name", "name must be the name of an object"},
		{"namespace with dots", pull + "\nsourceRef: {name: fleet, namespace: flux.system}", "spec.sourceRef.namespace", "namespace must be the name of a namespace"},
		{"provider named by a sentence", pull + "\nproviderRef: {name: our slack}", "spec.providerRef.name", "name must be the name of an object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := object(t, "apiVersion: backstop.dev/v1alpha1\nkind: RollbackPolicy\nmetadata: {namespace: apps, generateName: p-}\nspec:\n  "+
				strings.ReplaceAll(strings.TrimSpace(tt.spec), "\n", "\n  "))
			err := s.admin.Create(t.Context(), o, client.DryRunAll, client.FieldValidation("Strict"))
			want(t, err, tt.want)
			if err != nil && !strings.Contains(err.Error(), tt.field) {
				t.Errorf("%q does not name %s", err, tt.field)
			}
		})
	}
	t.Run("what is left out has its default", func(t *testing.T) {
		o := object(t, "apiVersion: backstop.dev/v1alpha1\nkind: RollbackPolicy\nmetadata: {namespace: apps, generateName: p-}\nspec: {"+pull+"}")
		if err := s.admin.Create(t.Context(), o, client.DryRunAll); err != nil {
			t.Fatal(err)
		}
		spec := o.Object["spec"].(map[string]any)
		for field, want := range map[string]any{
			"cooldown": "30m", "delivery": "Auto",
			"lift": "NewerImage", "verifyTimeout": "15m",
		} {
			if spec[field] != want {
				t.Errorf("%s is %v, want %v", field, spec[field], want)
			}
		}
		// The limits of a trigger that are not set are the trigger's own: the server fills in none.
		if diff := cmp.Diff([]any{map[string]any{"type": "ImagePull", "mode": "Auto"}}, spec["triggers"]); diff != "" {
			t.Errorf("triggers -want +got:\n%s", diff)
		}
		if got := spec["approval"].(map[string]any)["timeout"]; got != "1h" {
			t.Errorf("approval.timeout is %v, want 1h", got)
		}
	})
}
