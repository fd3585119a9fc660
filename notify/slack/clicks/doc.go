// Package clicks takes the decisions that people make on Slack.
//
//	Socket Mode ── envelope ──┐              ┌─ Rollback, policies: live
//	                          ├─► Click ─► Handler ─ people, groups: asked of Slack, 5 min old at most
//	HTTP ── signed form ──────┘              └─ authorize (pure): a refusal in a sentence, or none
//	                                             │
//	            ┌────────────────────────────────┘
//	            ▼
//	   record in the Rollback ──► acknowledge ──► answer who clicked
//
// A click counts once it is recorded, and is acknowledged only then. Slack never sends a click again, and shows a
// warning beside a button whose click was not acknowledged: rightly so, since nothing was recorded. The record is
// spec.decisions, written with the resourceVersion that was judged. Of two clicks at once one is recorded, and the
// other person is told whose. The engine and the card do the rest.
//
// In doubt the answer is no: where a policy, a person or a group cannot be read, nobody may decide.
//
// The author of a change may decide on it like anybody else: anyone can write a commit's author, and the policy says
// who may decide.
package clicks
