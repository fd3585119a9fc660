package release

import (
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// Marks stand in an object where its template has more than text. Each is a string alone on its line of YAML.
const (
	markIf    = "mark-if "
	markEnd   = "mark-end"
	markWith  = "mark-with "
	markRange = "mark-range "
	markValue = "mark-value "
	markImage = "mark-image"
	markItem  = "mark-item "
	markList  = "mark-list "
)

// marks are how each mark reads in the template, by the line of YAML that it makes.
var marks = []struct {
	line *regexp.Regexp
	text string
}{
	{regexp.MustCompile(`(?m)^ *- mark-if (\w+)$`), "{{- if .Values.components.$1 }}"},
	{regexp.MustCompile(`(?m)^ *- mark-end$`), "{{- end }}"},
	{regexp.MustCompile(`(?m)^( *)- mark-range (\w+)$`), "{{- range .Values.$2 }}\n$1- {{ . | quote }}\n{{- end }}"},
	{regexp.MustCompile(`(?m)^( *)(\w+): mark-with (\w+)$`),
		"{{- with .Values.$3 }}\n$1$2:\n$1  {{- toYaml . | nindent INDENT$1 }}\n{{- end }}"},
	{regexp.MustCompile(`mark-value (\w+)`), "{{ .Values.$1 }}"},
	{regexp.MustCompile(`mark-image`),
		`"{{ .Values.image.repository }}:{{ .Values.image.tag }}{{ with .Values.image.digest }}@{{ . }}{{ end }}"`},
	{regexp.MustCompile(`mark-item (\w+)`), "{{ .$1 | quote }}"},
	{regexp.MustCompile(`mark-list (\w+)`), "{{ toJson .$1 }}"},
}

var indent = regexp.MustCompile(`INDENT( *) `)

// template writes an object as a template: its namespace is the release's, its marks are actions, and all else is
// text, whatever it looks like. guard is the component without which it is not there.
func template(o object, guard string) (string, error) {
	data, err := yaml.Marshal(o)
	if err != nil {
		return "", err
	}
	text := strings.ReplaceAll(string(data), "{{", `{{ "{{" }}`)
	text = strings.ReplaceAll(text, "namespace: backstop-system", "namespace: {{ .Release.Namespace }}")
	text = strings.ReplaceAll(text, "backstop-system", "{{ .Release.Namespace }}")
	for _, m := range marks {
		text = m.line.ReplaceAllString(text, m.text)
	}
	text = indent.ReplaceAllStringFunc(text, func(found string) string {
		return fmt.Sprintf("%d ", len(found)-len("INDENT ")+2)
	})
	if guard != "" {
		text = "{{- if .Values.components." + guard + " }}\n" + text + "{{- end }}\n"
	}
	return text, nil
}

// values are the chart's defaults: what default builds.
func (r *release) values() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# By tag and digest: the digest is what counts.
image:
  repository: %s/%s
  tag: %s
  digest: %s
imagePullSecrets: []
# One works, the others wait for the Lease.
replicas: 2
# Further flags of the sidecar, such as --cluster=production.
extraArgs: []
resources:
  requests:
    cpu: 50m
    memory: 64Mi
  limits:
    cpu: "1"
    memory: 512Mi
tolerations: []
affinity: {}
# The Secrets that Backstop may read, namespace by namespace: those by which Flux reads and writes Git, those of
# registries, and those of Slack. It may read none that is not named here.
credentials: []
# - namespace: flux-system
#   secrets: [flux-system]
# What docs/install.md says of each component.
components:
`, registry, imageRepository, r.version, r.imageDigest)
	for _, c := range components {
		fmt.Fprintf(&b, "  %s: false\n", c.value)
	}
	return b.String()
}

const notes = `Backstop watches from now on, and reverts nothing before a RollbackPolicy says so.

What is in its way:  backstop doctor -n YOUR-NAMESPACE
What it does:        kubectl get rollbacks -A
The guide:           https://github.com/backstop-dev/backstop/blob/main/docs/quickstart.md
`

// object is what Kubernetes stores, as YAML says it.
type object = map[string]any
