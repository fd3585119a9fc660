package gitrepo

import "github.com/backstop-dev/backstop/reconcile/gitrepo/wire"

// short is the first 12 characters of a hash.
func short(hash string) string { return hash[:min(12, len(hash))] }

// oneLine makes one harmless line of at most n runes of foreign text.
func oneLine(s string, n int) string { return wire.OneLine(s, n) }
