// Package doctor looks before the bad night: for each workload, whether Backstop could revert a bad image, how
// fast, and what would undo it.
//
//	policy ─► read ─► branch ─► push ─► sign ─► prove ─► apply ─► delays ─► loses
//	may it?   may it   where?   does the server  does the     what would slow    what would undo
//	          read the Secrets? take a push?     registry     the revert down?   the revert?
//	                                             answer?
//
// Gather reads everything live, with the rights of the user, a bounded number of workloads at a time. It asks the API
// server what Backstop's ServiceAccount may do. Nothing is changed: a push ends after the server's advertisement.
// Examine is pure. What could not be read is reported as not read.
package doctor
