package manifest_test

import (
	"testing"
	"testing/fstest"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

func TestMeantFolder(t *testing.T) {
	tree := fstest.MapFS{}
	for _, dir := range []string{
		"apps/dev/01", "apps/prod/01", "apps/prod/02", "twice/prod/prod", "twice/prod/01", "eu-prod-apps", "us-prod-apps", "one/only",
	} {
		tree[dir+"/kustomization.yaml"] = &fstest.MapFile{Data: []byte("resources: []\n")}
	}
	tree["apps/file"] = &fstest.MapFile{}
	for name, c := range map[string]struct{ path, by, want string }{
		"the words of what renders it":                   {"./apps/${ENV}/${ID}", "clusters/prod/01", "apps/prod/01"},
		"another cluster's":                              {"./apps/${ENV}/${ID}", "clusters/dev/01", "apps/dev/01"},
		"a word that is a part of a folder's name":       {"${REGION}-${ENV}-apps", "clusters/eu/prod", "eu-prod-apps"},
		"none of the folders that are there":             {"./apps/${ENV}/${ID}", "clusters/stage/01", ""},
		"a single folder that another cluster has":       {"./one/${ENV}", "clusters/prod", ""},
		"two folders that fit as well":                   {"./apps/prod/${ID}", "fleet/01/02", ""},
		"one variable with two values":                   {"./twice/${ENV}/${ENV}", "clusters/prod/01", "twice/prod/prod"},
		"a file":                                         {"./apps/${ENV}", "clusters/file", ""},
		"no variable":                                    {"./apps/prod", "clusters/prod", ""},
		"a folder behind the variable that is not there": {"./apps/${ENV}/03", "clusters/prod", ""},
		"a variable with a default":                      {"./apps/${ENV:=prod}", "clusters/prod", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := manifest.MeantFolder(tree, c.path, c.by); got != c.want {
				t.Errorf("MeantFolder(%q, %q) = %q, want %q", c.path, c.by, got, c.want)
			}
		})
	}
}
