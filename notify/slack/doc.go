// Package slack keeps one living card for each Rollback on Slack. It is a view: what it cannot post, it posts later,
// and nothing waits for it.
//
//	engine ── Tell ──┐                        ┌─ Apps: Provider and Secret, read again every 15 s
//	                 ├─► Poster ─► outbox of a Provider ─► Slack
//	every 15 s: all ─┘               │  post · update · note
//	                                 └─► status.card: where it stands, what it shows, what the thread was told
//
// It works from the records, not from what it was told: a card is compared with what it should show, and the thread
// with what it should have been told. So it does not matter what was missed while Slack, the API server or Backstop
// was away; the newest state wins. Each Provider has an outbox of its own, whose one goroutine does one thing at a
// time, so that a workspace that does not answer holds up no other.
//
// Slack allows about one post a second to a channel. An outbox keeps to that, updates a card at most every two seconds,
// and leaves a method alone for as long as Slack asks. More than five Rollbacks of one commit or of one minute become
// a digest, with their cards in its thread.
package slack
