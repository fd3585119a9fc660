package program_test

import (
	"testing"

	"github.com/backstop-dev/backstop/internal/program"
)

func TestACommandIsNamedAsItIsTyped(t *testing.T) {
	for path, want := range map[string]string{
		"backstop":                   "backstop",
		"/usr/bin/backstop":          "backstop",
		"/opt/kubectl-backstop":      "kubectl backstop",
		"flux-backstop":              "flux backstop",
		"/home/kubectl-fan/backstop": "backstop",
		"":                           "backstop",
	} {
		n := program.Called(path)
		if n.String() != want {
			t.Errorf("%q is called %q, want %q", path, n, want)
		}
		if have := n.Command("get rollback %s", "x"); have != want+" get rollback x" {
			t.Errorf("%q names the command %q", path, have)
		}
		if have := n.Help("$backstop get; backstop says"); have != want+" get; backstop says" {
			t.Errorf("%q helps with %q", path, have)
		}
	}
	if have := program.Name("").Command("get"); have != "backstop get" {
		t.Errorf("without a name the command is %q", have)
	}
}
