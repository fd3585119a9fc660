// Package registry proves that images exist, or do not, by asking their registry.
//
// A proof fits the cause of a failure, and an absence is proved between two
// looks, because a registry answers 404 to an expired token and of a repository
// that it does not show:
//
//	parse ─► refused by the kubelet's own parser ─────────────────────► Absent, InvalidName
//	  │
//	HEAD manifest ─► 404 ─► GET ─► 404 ─► HEAD another tag ─► 200 ─► tags/list ─► GET ─► 404 ─► Absent, NotFound
//	  │ 200                  the witness, or one of tags/list          complete, with that one and without this
//	  ├─ platforms? GET index or manifest, GET config ─► none fits ────► Absent, PlatformMismatch
//	  ├─ deep? HEAD or GET each blob ─► 404 ─► HEAD manifest, 200 ─► GET ─► 404 ─► Absent, BlobMissing
//	  └──────────────────────────────────────────────────────────────► Present
//
//	401 403, 429, 5xx and other statuses, DNS, TLS, timeouts, answers that
//	cannot be true ──────────────────────────────────────────────────► Unproved, with the reason
//
// What is addressed by its digest never changes and is kept; whether something exists is
// remembered for ten seconds at most. HEAD is used wherever it will do, because registries count
// GETs. A registry that asks to be left alone (429, or Retry-After) is, for as long as it asks.
//
// The image is chosen by whoever may create a pod, and so is the registry. It is therefore not
// trusted: answers are bounded in bytes and time, content must have the digest that it is asked
// by, redirects do not lead from a public host to an inner one nor from TLS to plain HTTP, and
// no words of an answer appear in a sentence, which is also how a secret stays out of it.
//
// The last 404 has to carry a registry's own code, and no address that is named or known as a cache proves an absence:
// what is in front of another registry answers 404 for what its source would not give it just now.
package registry
