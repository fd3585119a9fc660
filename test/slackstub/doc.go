// Package slackstub is a workspace of Slack on loopback, for tests and the demo.
//
//	slack-go's client ──► Web API ──► fault? ─► token, scope ─► channels, messages, people
//	                 ◄── Socket Mode ── hello · ping · envelope ──► ack
//	HTTP listener    ◄── signed POST ──────┤
//	                                       └── Click, as a person does it
//
// It answers as Slack does where that is known (method by method, error by error), holds messages to Slack's limits,
// and counts what a person would have seen: cards with their versions, threads, answers that only one person sees,
// and the warning beside a button whose click nobody acknowledged. Faults are told beforehand: rate limits, errors,
// connections cut before or after the work was done, Slack being away.
package slackstub
