// Package alerts takes the events that Flux's notification-controller sends to a Provider of type generic-hmac, and
// wakes what they are about.
//
//	POST /alerts ── X-Signature over the body as it came ──► which object? ──► a queue ──► Wake
//	                        wrong: 401, unread                                 once a second at most
//
// An event is a hint and nothing more: nothing is decided by what it says. It names an object, and that object is
// then read live. So an event that is forged, late, lost or sent again does no harm, and one that is lost costs only
// the time until the watch sees the same. The signature has no time in it, so that a replay cannot be told from the
// event itself.
//
// notification-controller waits 15 s for all its tries together and then forgets the event: an answer needs nothing but
// the body and the key.
package alerts
