package manifest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestImageAndVersionUnderKeysOfCharts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		values string
		want   []string
	}{
		"a version beside an image":             {"operator: {image: tigera/operator, version: v1, registry: quay.io}", []string{"quay.io/tigera/operator:v1"}},
		"a version beside the name of an image": {"image: {name: cr.l5d.io/proxy, version: v1}", []string{"cr.l5d.io/proxy:v1"}},
		"imageName and imageVersion":            {"{imageName: acme/web, imageVersion: v1}", []string{"acme/web:v1"}},
		"a prefix before both":                  {"{containerImage: acme/web, containerTag: v1}", []string{"acme/web:v1"}},
		"the image's key before the tag's":      {"{rancherImage: rancher/rancher, rancherImageTag: v2}", []string{"rancher/rancher:v2"}},
		"with underscores":                      {"{image_name: acme/web, image_tag: v1, docker_image: acme/db, docker_image_version: v2}", []string{"acme/web:v1", "acme/db:v2"}},
		"two of them":                           {"{webImage: acme/web, webVersion: v1, jobImage: acme/job, jobTag: v2}", []string{"acme/web:v1", "acme/job:v2"}},
		"a whole image with underscores":        {"{docker_image: 'ghcr.io/zalando/spilo:3', logo_image: logo.png}", []string{"ghcr.io/zalando/spilo:3"}},
		"a whole image in one word":             {"image: {unifiedRepoTag: 'kong/kong:3.1'}", []string{"kong/kong:3.1"}},
		"a version beside a whole image":        {"{image: 'acme/web:v1', version: v2}", []string{"acme/web:v1"}},
		"a version beside a repository":         {"image: {repository: acme/web, tag: v1, version: v2}", []string{"acme/web:v1"}},
		"a version that is none of the image's": {"{webImage: acme/web, version: v1, chartVersion: v2}", nil},
		"a picture and its version":             {"{logoImage: pictures/logo.png, logoVersion: v2}", nil},
		"a version above a repository":          {"{image: {repository: acme/web}, version: v1}", []string{"acme/web:v1"}},
		"a tag above two repositories":          {"{image: {repository: acme/web}, jobImage: {repository: acme/job}, version: v1}", nil},
		"a version above a repository and tag":  {"{image: {repository: acme/web, tag: v2}, version: v1}", []string{"acme/web:v2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nodes, err := Nodes("f.yaml", []byte("apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: x}\nspec:\n  values:\n    "+
				strings.ReplaceAll(c.values, "\n", "\n    ")+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, g := range grouped(nodes) {
				if reference, ok := Reference(g.nodes, ""); ok {
					got = append(got, reference)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("references (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVersionOfAnObjectIsNoTag(t *testing.T) {
	t.Parallel()
	nodes, err := Nodes("f.yaml", []byte("apiVersion: acme.io/v1\nkind: Database\nmetadata: {name: x}\nspec: {image: acme/db, version: 8.0.0}\n"))
	if err != nil || len(nodes) != 1 || nodes[0].Part != PartImage {
		t.Errorf("%+v, %v", nodes, err)
	}
}
