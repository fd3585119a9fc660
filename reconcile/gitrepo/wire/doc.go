// Package wire speaks with Git servers: over HTTP and SSH, through proxies, as a GitHub App. It bounds what a server
// may send, takes secrets out of what it says, and makes of a failure a sentence and a kind that tells who has to act.
//
// A push compares the old value of the branch and never forces. It sends a pack of just the new objects.
package wire
