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
// A click counts once it is recorded, and it is acknowledged only then: Slack shows a warning beside a button whose
// click was not acknowledged, which is the truth where nothing was recorded, and it never sends a click again. The
// record is spec.decisions, written with the resourceVersion that was judged: of two clicks at once one is recorded,
// and the other one is told whose. What follows is the line's work and the card's.
//
// In doubt the answer is no: a policy, a person or a group that cannot be read lets nobody.
//
// The author of the change has no say of his own and loses none: anyone can write a commit's author, and who may take
// a change back is the policy's to say.
package clicks
