package main

import "runtime/debug"

// crashAloud makes a bug that ends the process end it with SIGABRT, in any goroutine and also where Go lets nothing
// recover. Left alone, Go ends it with 2, which scripts read as wrong usage. No memory is written to a file, since it
// holds credentials.
func crashAloud() {
	leaveNoCore()
	debug.SetTraceback("crash")
}
