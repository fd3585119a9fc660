package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// setFlag is a flag in the arguments that a manifest or a page sets.
var setFlag = regexp.MustCompile(`(?m)(?:^\s+- |value: "?)(--[a-z][-a-z]*(?:=[^\s"},]*(?:,[^\s"},]+)*)?)`)

func TestTheManifestsSetFlagsThatExist(t *testing.T) {
	found := map[string]bool{}
	check := func(path string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range setFlag.FindAllStringSubmatch(string(text), -1) {
			arg := strings.ReplaceAll(m[1], "$(POD_NAMESPACE)", "backstop-system")
			name, _, _ := strings.Cut(arg, "=")
			found[name] = true
			if err := (&options{}).flags().Parse([]string{arg}); err != nil {
				t.Errorf("%s sets %s: %v", path, m[1], err)
			}
		}
	}
	err := filepath.WalkDir("../../deploy/kustomize", func(path string, e fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".yaml" {
			check(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	check("../../docs/install.md")
	for _, name := range []string{"--unstick", "--leader-elect", "--namespaces", "--platforms", "--cluster"} {
		if !found[name] {
			t.Errorf("no manifest was seen to set %s", name)
		}
	}
}
