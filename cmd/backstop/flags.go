package main

import "github.com/spf13/pflag"

// narrowing are flags without which a command looks at more, or asks less. An empty value, as of a variable that a
// script did not set, is none of them.
var narrowing = []string{"as", "config", "container", "path", "platform", "question", "repo", "rev", "to"}

// filled refuses a flag that was given without what it is to be.
func filled(flags *pflag.FlagSet) error {
	for _, name := range narrowing {
		if f := flags.Lookup(name); f != nil && f.Changed && (f.Value.String() == "" || f.Value.String() == "[]") {
			return badUsage("--%s is empty: leave it out, or give it a value", name)
		}
	}
	return nil
}

// given are those of flags that somebody gave.
func given(flags *pflag.FlagSet, names ...string) string {
	for _, name := range names {
		if flags.Changed(name) {
			return name
		}
	}
	return ""
}
