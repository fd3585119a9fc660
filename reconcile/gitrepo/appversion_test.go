package gitrepo

import (
	"strings"
	"testing"
)

// chartOf is the Chart.yaml of a chart in the repository.
func chartOf(name, app string) string {
	return "apiVersion: v2\nname: " + name + "\nversion: 1.0.0\nappVersion: \"" + app + "\"\n"
}

func TestTheVersionOfAChartsAppIsItsTagHoweverItsValuesNameTheRepository(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/acme/web"
	// fromChart is a HelmRelease of a chart in the repository.
	fromChart := func(chart, values string) string {
		return strings.Replace(release("web", values), "spec:\n", "spec:\n  chart: {spec: {chart: "+chart+
			", sourceRef: {kind: GitRepository, name: flux-system}}}\n", 1)
	}
	for name, c := range map[string]struct {
		files []string
		// chart is the file that the bump changes: c/Chart.yaml where none is named.
		chart string
		// image that is asked for: web:2.0 where none is.
		image string
	}{
		"imageRepository":         {files: []string{"c/values.yaml", "imageRepository: " + web + "\n"}},
		"image_repository":        {files: []string{"c/values.yaml", "image_repository: " + web + "\n"}},
		"image alone":             {files: []string{"c/values.yaml", "image: " + web + "\n"}},
		"a block without a tag":   {files: []string{"c/values.yaml", "image: {repository: " + web + "}\n"}},
		"a block with a registry": {files: []string{"c/values.yaml", "image: {registry: reg.example.org, repository: acme/web}\n"}},
		"a registry beside imageRepository": {
			files: []string{"c/values.yaml", "imageRegistry: reg.example.org\nimageRepository: acme/web\n"}},
		"an empty imageTag": {files: []string{"c/values.yaml", "imageRepository: " + web + "\nimageTag: \"\"\n"}},
		"deeper":            {files: []string{"c/values.yaml", "server:\n  imageRepository: " + web + "\n"}},
		"values of an environment": {
			files: []string{"c/values.yaml", "a: b\n", "c/values-prod.yaml", "imageRepository: " + web + "\n"}},
		"two repositories": {
			files: []string{"c/values.yaml", "imageRepository: " + web + "\njob: {imageRepository: reg.example.org/acme/job}\n"}},
		"with a v before it": {files: []string{"c/values.yaml", "imageRepository: " + web + "\n"}, image: web + ":v2.0"},
		"values of a HelmRelease": {
			files: []string{"c/values.yaml", "a: b\n", "apps/r.yaml", fromChart("./c", "imageRepository: "+web)}},
		"a block of a HelmRelease": {
			files: []string{"c/values.yaml", "a: b\n", "apps/r.yaml", fromChart("./c", "image: {repository: "+web+"}")}},
		"a chart of a chart": {
			files: []string{"c/Chart.yaml", chartOf("all", "9.9"), "c/values.yaml", "web: {image: {repository: " + web + "}}\n",
				"c/charts/web/Chart.yaml", chartOf("web", "1.0"), "c/charts/web/values.yaml", "a: b\n"},
			chart: "c/charts/web/Chart.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chart, image := c.chart, c.image
			if chart == "" {
				chart = "c/Chart.yaml"
			}
			if image == "" {
				image = web + ":2.0"
			}
			r := newClone(t)
			r.put("first", append([]string{"c/Chart.yaml", chartOf("web", "1.0")}, c.files...)...)
			r.replace("bump", chart, `"1.0"`, `"2.0"`)
			r.undoneByPerson(t, image, []string{chart + ` -appVersion: "2.0"`, chart + ` +appVersion: "1.0"`})
		})
	}
}

func TestTheVersionOfAChartsAppIsFollowed(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/acme/web"
	block := func(tag string) string { return "image:\n  repository: " + web + "\n" + tag }
	for name, c := range map[string]struct {
		first, bump, later []string
		want               []string
	}{
		"through a move": {
			first: []string{"c/Chart.yaml", chartOf("web", "1.0"), "c/values.yaml", "imageRepository: " + web + "\n"},
			bump:  []string{"c/Chart.yaml", chartOf("web", "2.0")},
			later: []string{"c/Chart.yaml", "", "c/values.yaml", "", "d/Chart.yaml", chartOf("web", "2.0"),
				"d/values.yaml", "imageRepository: " + web + "\n"},
			want: []string{`d/Chart.yaml -appVersion: "2.0"`, `d/Chart.yaml +appVersion: "1.0"`},
		},
		"of two charts": {
			first: []string{"c/Chart.yaml", chartOf("web", "1.0"), "c/values.yaml", "imageRepository: " + web + "\n",
				"d/Chart.yaml", chartOf("web", "1.0"), "d/values.yaml", block("")},
			bump: []string{"c/Chart.yaml", chartOf("web", "2.0"), "d/Chart.yaml", chartOf("web", "2.0")},
			want: []string{`c/Chart.yaml -appVersion: "2.0"`, `c/Chart.yaml +appVersion: "1.0"`,
				`d/Chart.yaml -appVersion: "2.0"`, `d/Chart.yaml +appVersion: "1.0"`},
		},
		"where the repository is what changed": {
			first: []string{"c/Chart.yaml", chartOf("web", "2.0"), "c/values.yaml", "imageRepository: " + web + "-old\n"},
			bump:  []string{"c/values.yaml", "imageRepository: " + web + "\n"},
			want:  []string{"c/values.yaml -imageRepository: " + web, "c/values.yaml +imageRepository: " + web + "-old"},
		},
		"where the tag was emptied": {
			first: []string{"c/Chart.yaml", chartOf("web", "1.5"), "c/values.yaml", block("  tag: \"1.0\"\n")},
			bump:  []string{"c/Chart.yaml", chartOf("web", "2.0"), "c/values.yaml", block("  tag: \"\"\n")},
			want: []string{`c/Chart.yaml -appVersion: "2.0"`, `c/Chart.yaml +appVersion: "1.5"`,
				`c/values.yaml -tag: ""`, `c/values.yaml +tag: "1.0"`},
		},
		"and not back to what ran nowhere, where the tag was taken out": {
			first: []string{"c/Chart.yaml", chartOf("web", "1.5"), "c/values.yaml", block("  tag: \"1.0\"\n")},
			bump:  []string{"c/Chart.yaml", chartOf("web", "2.0"), "c/values.yaml", block("")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newClone(t)
			r.put("first", c.first...)
			r.put("bump", c.bump...)
			if c.later != nil {
				r.put("later", c.later...)
			}
			r.undoneByPerson(t, web+":2.0", c.want)
		})
	}
}

func TestTheVersionOfAChartsAppIsNoTagOfWhatHasOne(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/acme/web"
	for name, values := range map[string]string{
		"a pair":                   "imageRepository: " + web + "\nimageTag: \"1.0\"\n",
		"a block":                  "image: {repository: " + web + ", tag: \"1.0\"}\n",
		"another repository":       "imageRepository: " + web + "-old\n",
		"a whole image":            "image: " + web + ":1.0\n",
		"a repository in a digest": "imageRepository: " + web + "\nimageDigest: sha256:" + strings.Repeat("a", 64) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newClone(t)
			r.put("first", "c/Chart.yaml", chartOf("web", "1.0"), "c/values.yaml", values)
			r.put("bump", "c/Chart.yaml", chartOf("web", "2.0"))
			q := ask(web + ":2.0")
			q.ByPerson = true
			if s, err := r.open().Blame(t.Context(), q); err == nil {
				t.Errorf("blamed %q: %+v", s.Subject, s.Places)
			}
		})
	}
}
