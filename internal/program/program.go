// Package program names the commands of backstop as the person who runs them types them. The program is a plugin of
// kubectl and of flux too, so the same command is `backstop get`, `kubectl backstop get` or `flux backstop get`.
package program

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
)

// Name is what a person types before a command of backstop. The zero value is the program without a host.
type Name string

// Called is the name of the program that a shell starts at a path: kubectl and flux start a plugin by a file name with
// a dash, and a person types a space.
func Called(path string) Name {
	for _, host := range []string{"kubectl", "flux"} {
		if strings.HasPrefix(filepath.Base(path), host+"-") {
			return Name(host + " backstop")
		}
	}
	return "backstop"
}

// String is the name as it is typed.
func (n Name) String() string { return string(cmp.Or(n, "backstop")) }

// Command is a command line of the program.
func (n Name) Command(format string, args ...any) string {
	return n.String() + " " + fmt.Sprintf(format, args...)
}

// Help writes the name into a text of help, wherever that says $backstop. Only words that stand in the code go through
// it: what others wrote stays as it is.
func (n Name) Help(text string) string { return strings.ReplaceAll(text, "$backstop", n.String()) }
