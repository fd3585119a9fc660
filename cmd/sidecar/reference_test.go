package main

import (
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write docs/reference/sidecar.md")

func TestFlagsReferenceIsWhatHelpPrints(t *testing.T) {
	const name = "../../docs/reference/sidecar.md"
	want := "# The sidecar's flags\n\nWhat `--help` prints, by `make golden`. [install.md](../install.md#flags) says how to set them and which to know.\n\n```\n" +
		(&options{}).help() + "```\n"
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(name)
	if err != nil || string(have) != want {
		t.Errorf("docs/reference/sidecar.md is not what --help prints: run make golden (%v)", err)
	}
}
