package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var fence = regexp.MustCompile("(?ms)^( *)```yaml\n(.*?)^ *```")

// published is a folder of the repository as a release has it.
var published = regexp.MustCompile(`https://github\.com/backstop-dev/backstop//deploy/kustomize([\w/-]*)\?ref=v\d+\.\d+\.\d+`)

// docs builds what the docs tell people to write, with this checkout in place of the published one.
func (s suite) docs(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(s.env.Root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	built := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range fence.FindAllStringSubmatch(string(text), -1) {
			yaml := strings.ReplaceAll("\n"+block[2], "\n"+block[1], "\n")
			if !strings.Contains(yaml, "kustomize.config.k8s.io") {
				continue
			}
			yaml = published.ReplaceAllString(yaml, "KUSTOMIZE$1")
			if out := s.kubectl(t, "kustomize", s.overlay(t, yaml)); !strings.Contains(out, "kind:") {
				t.Errorf("%s makes nothing of:\n%s", filepath.Base(file), yaml)
			}
			built++
		}
	}
	if built < 2 {
		t.Errorf("%d kustomizations in the docs", built)
	}
}
