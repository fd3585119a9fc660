// Package doctor looks before the bad night: for each workload, whether Backstop could take a bad image back, how
// fast, and what would undo it.
//
//	policy ─► read ─► branch ─► push ─► sign ─► prove ─► apply ─► delays ─► loses
//	may it?   may it   where?   does the server  does the     what would slow    what would undo
//	          read the Secrets? take a push?     registry     the revert down?   the revert?
//	                                             answer?
//
// Gather reads everything live, with the rights of whoever asks, a bounded number of workloads at a time, and asks
// the API server what Backstop's ServiceAccount may. Nothing is changed: a push is begun, as far as the server's
// advertisement, and left. Examine is pure. What could not be read is said to be not read.
package doctor
