package doctor

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/trace"
)

// The names of the checks.
const (
	CheckSidecar = "sidecar"
	CheckPolicy  = "policy"
	// CheckSees is which triggers can see the workload fail.
	CheckSees = "sees"
	// CheckKillSwitch is a suspended policy in Backstop's own namespace; there is no such check where none is.
	CheckKillSwitch = "kill switch"
	// CheckAdmission is an admission policy that is missing; there is no such check where none is.
	CheckAdmission = "admission"
	// CheckReadable is an object that Backstop cannot decode.
	CheckReadable = "readable"
	CheckBranch   = "branch"
	CheckRead     = "read"
	CheckPush     = "push"
	CheckProtect  = "protection"
	CheckSign     = "signing"
	// CheckDelivery is which way a revert goes, where a provider of pull requests tells, or the policy wants one.
	CheckDelivery = "delivery"
	CheckProve    = "prove"
	CheckApply    = "apply"
	CheckHealth   = "health"
	CheckDepends  = "dependsOn"
	CheckOrdered  = "ordered"
	CheckForce    = "force"
	// CheckRecovery is how long a recovery takes.
	CheckRecovery = "recovery"
)

// Check is one thing that a rollback needs, or that would be in its way. It is a hop, so that both commands print and
// mark in one way.
type Check = trace.Hop

// Patient is a workload with its checks.
type Patient struct {
	// Workload as Kind/name.
	Workload string  `json:"workload"`
	Checks   []Check `json:"checks"`
	// Recovery is how long it takes from the pushed revert to the good image.
	Recovery *Recovery `json:"recovery,omitempty"`
}

// Report is what the doctor says of a namespace.
type Report struct {
	Namespace string    `json:"namespace"`
	At        time.Time `json:"at"`
	// General are checks of Backstop itself.
	General   []Check   `json:"general"`
	Workloads []Patient `json:"workloads"`
	// Others are workloads that Flux does not apply, which Backstop can only tell about.
	Others []string `json:"others,omitempty"`
}

// Code sums a report up for a script, with the codes of a trace.
func Code(r *Report) int { return trace.CodeOf(all(r)) }

func all(r *Report) []Check {
	out := r.General
	for _, p := range r.Workloads {
		out = append(out[:len(out):len(out)], p.Checks...)
	}
	return out
}

// Print writes a report for a person. Of a workload that has nothing wrong it writes one line, unless all is asked for.
func Print(out io.Writer, r *Report, verbose, colour bool) error {
	p := trace.Printer{Out: out, Colour: colour}
	p.Line("namespace %s: %s", r.Namespace, Summary(r))
	p.Line("")
	p.Hops(r.General)
	var fine []trace.Hop
	for _, w := range r.Workloads {
		if !verbose && good(w.Checks) {
			fine = append(fine, trace.Hop{Name: "ready", At: w.Workload, Mark: trace.Good, Says: saysOf(w.Checks, CheckPolicy)})
			continue
		}
		p.Line("")
		p.Line("%s", w.Workload)
		p.Hops(w.Checks)
	}
	if len(fine) > 0 {
		p.Line("")
		p.Hops(fine)
	}
	if len(r.Others) > 0 {
		p.Line("")
		p.Line("not applied by Flux, so that Backstop only tells: %s", strings.Join(r.Others, ", "))
	}
	return p.Err
}

// Summary counts the workloads.
func Summary(r *Report) string {
	ready, unread := 0, 0
	for _, w := range r.Workloads {
		switch {
		case good(w.Checks):
			ready++
		case Code(&Report{Workloads: []Patient{w}}) == trace.CodeUnknown:
			unread++
		}
	}
	if len(r.Workloads) == 0 {
		return "no workload that Flux applies"
	}
	out := fmt.Sprintf("%d of %d workloads are ready for a rollback", ready, len(r.Workloads))
	if unread > 0 {
		// What could not be read may be ready all the same.
		out += fmt.Sprintf(", of %d not all could be read", unread)
	}
	return out
}

func good(checks []Check) bool {
	for _, c := range checks {
		if c.Mark != trace.Good && c.Mark != trace.None {
			return false
		}
	}
	return true
}

func saysOf(checks []Check, name string) string {
	for _, c := range checks {
		if c.Name == name {
			return c.Says
		}
	}
	return ""
}

func bad(name, at, why, fix string) Check {
	return Check{Name: name, At: at, Mark: trace.Blocked, Why: why, Fix: fix}
}

func fine(name, at, says string, args ...any) Check {
	return Check{Name: name, At: at, Mark: trace.Good, Says: fmt.Sprintf(says, args...)}
}

func unread(name, at, why string) Check {
	return Check{Name: name, At: at, Mark: trace.Unknown, Why: why}
}
