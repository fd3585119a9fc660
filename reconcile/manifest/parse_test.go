package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestFilesThatAreNotHandledSayWhy(t *testing.T) {
	deep := strings.Repeat("{a: ", MaxDepth+1) + "x" + strings.Repeat("}", MaxDepth+1)
	bomb := "a0: &a0 [x, x]\n"
	for i := 1; i < 40; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [*a%d, *a%d]\n", i, i, i-1, i-1)
	}
	merges := "a0: &a0 {image: x:v1}\n"
	for i := 1; i < 40; i++ {
		merges += fmt.Sprintf("a%d: &a%d {<<: [*a%d, *a%d], k%d: {<<: [*a%d, *a%d]}}\n", i, i, i-1, i-1, i, i-1, i-1)
	}
	for _, tc := range []struct {
		name, data string
		want       error
		says       string
	}{
		{"a Helm template", "kind: X\nimage: {{ .Values.image }}\n", ErrNotYAML, "template"},
		{"a Helm template with control flow", "{{- if .Values.x }}\na: b\n{{- end }}\n", ErrNotYAML, "template with {{ }}"},
		{"nonsense", "a: [1,\nb: c", ErrNotYAML, "line"},
		{"a control character", "a: \x01", ErrNotYAML, "control characters"},
		{"bytes that are not UTF-8", "a: \xff\xfe\n", ErrNotYAML, "UTF-8"},
		{"UTF-16", "\xff\xfea\x00:\x00 \x00b\x00", ErrUnsupported, "UTF-16"},
		{"an alias to nothing", "a: *x\n", ErrNotYAML, "unknown anchor"},
		{"an alias that contains itself", "a: &x {b: *x}\n", ErrUnsupported, "contains itself"},
		{"a key that is there twice", "a: 1\nb: 2\na: 3\n", ErrUnsupported, `"a" at line 3`},
		{"a key that is there twice among many", manyKeys(100) + "k7: x\n", ErrUnsupported, `"k7" at line 101`},
		{"an unknown tag", "a: !Ref b\n", ErrUnsupported, "!Ref"},
		{"a key that is a mapping", "? {a: b}\n: c\n", ErrNotYAML, "line 1"},
		{"deep nesting", deep, ErrUnsupported, "deep"},
		{"deeper nesting than the parser goes", strings.Repeat("[", 1<<18), ErrNotYAML, "depth"},
		{"aliases of aliases", bomb, ErrTooLarge, "aliases"},
		{"merges of merges", merges, ErrTooLarge, "aliases"},
		{"a List of aliases", "x: &x [" + strings.Repeat("1,", 1000) + "]\nkind: List\nitems: [" + strings.Repeat("*x,", 1000) + "]\n", ErrTooLarge, "aliases"},
		{"SOPS", "a: ENC[AES256_GCM,data:x]\nsops:\n  mac: ENC[x]\n", ErrSOPS, "sops"},
		{"SOPS in a later document", "a: b\n---\na: b\nsops: {lastmodified: x}\n", ErrSOPS, "line 3"},
		{"too many bytes", strings.Repeat("# xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", MaxFileSize/30), ErrTooLarge, "bytes"},
		{"too many items", "a: [" + strings.Repeat("1,", maxWeight) + "]", ErrTooLarge, "items"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			start := time.Now()
			nodes, err := Nodes("dir/f.yaml", []byte(tc.data))
			if !errors.Is(err, tc.want) || nodes != nil {
				t.Fatalf("%d nodes, %v; want %v", len(nodes), err, tc.want)
			}
			if !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "dir/f.yaml") {
				t.Errorf("%q does not say %q and the file's name", err, tc.says)
			}
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// The aliases here would take hours or all memory if what they stand for were walked.
func TestHostileFilesAreReadQuickly(t *testing.T) {
	var repositories, chain strings.Builder
	for i := range 5_000 {
		fmt.Fprintf(&repositories, "k%dRepository: r/a\nk%dTag: v1\n", i, i)
	}
	chain.WriteString("a0: &a0 {k0: x}\n")
	for i := 1; i < 20_000; i++ {
		fmt.Fprintf(&chain, "a%d: &a%d {<<: *a%d, k%d: x}\n", i, i, i-1, i)
	}
	var text strings.Builder
	text.WriteString("kind: ConfigMap\ndata:\n  a.yaml: &x |\n" + strings.Repeat("    - {image: a:v1}\n", 10_000))
	for i := range 50_000 {
		fmt.Fprintf(&text, "  b%d.yaml: *x\n", i)
	}
	for name, data := range map[string]string{
		"many repositories in one mapping": repositories.String(), "a chain of merge keys": chain.String(),
		"aliases of a text that is YAML": text.String(), "items of one name": "containers:\n" + strings.Repeat("- {name: a, image: a:v1}\n", 5_000),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			nodes, err := Nodes("f.yaml", []byte(data))
			if err != nil && !errors.Is(err, ErrTooLarge) || err == nil && len(nodes) == 0 {
				t.Errorf("%d nodes, %v", len(nodes), err)
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: x\n", i)
	}
	return b.String()
}

func TestFilesThatLookOddAreRead(t *testing.T) {
	for name, data := range map[string]string{
		"empty": "", "only comments": "# a\n# b\n", "only separators": "---\n---\n", "a null": "~\n", "a scalar": "x\n", "a list": "- x\n",
		"a key named sops": "sops: enabled\n", "core tags": "a: !!str 1\nb: !!int \"1\"\nc: !!binary aGk=\n", "a template in quotes": "a: \"{{ .x }}\"\n",
		"depth below the limit": strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth),
	} {
		if _, err := Nodes("f.yaml", []byte(data)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// large is a file of Deployments, each with some text of this many bytes.
func large(deployments, text int) []byte {
	var b bytes.Buffer
	for i := range deployments {
		fmt.Fprintf(&b, `---
# the deployment of service %[1]d
apiVersion: apps/v1
kind: Deployment
metadata:
  name: service-%[1]d
  namespace: production
  labels: {app.kubernetes.io/name: service-%[1]d, app.kubernetes.io/part-of: shop}
spec:
  replicas: 3
  selector:
    matchLabels:
      app.kubernetes.io/name: service-%[1]d
  template:
    metadata:
      labels:
        app.kubernetes.io/name: service-%[1]d
    spec:
      containers:
      - name: app
        image: ghcr.io/acme/service-%[1]d:v1.0.%[1]d # {"$imagepolicy": "production:service-%[1]d"}
        args: ["--listen=:8080", "--log-level=info"]
        env:
        - name: DATABASE_URL
          valueFrom:
            secretKeyRef:
              name: database
              key: url
        ports:
        - containerPort: 8080
          name: http
        resources:
          limits:
            memory: 128Mi
          requests:
            cpu: 50m
            memory: 128Mi
`, i)
		if text > 0 {
			fmt.Fprintf(&b, "status: |\n%s", strings.Repeat("  some text\n", text/12))
		}
	}
	return b.Bytes()
}

func TestAFileOfFiveMegabytesWorks(t *testing.T) {
	data := large(800, 6000)
	if len(data) < 5<<20 {
		t.Fatalf("only %d bytes", len(data))
	}
	nodes, err := Nodes("large.yaml", data)
	if err != nil || len(nodes) != 800 {
		t.Fatalf("%d nodes, %v", len(nodes), err)
	}
	picked := Match(nodes, "ghcr.io/acme/service-400:v1.0.400", Target{Namespace: "production", Kind: "Deployment", Name: "service-400"})
	if len(picked) != 1 {
		t.Fatalf("picked %d nodes", len(picked))
	}
	edited, err := Edit(data, []Change{{Pointer: picked[0].Pointer, Value: "ghcr.io/acme/service-400:v1"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := bytes.Replace(data, []byte("service-400:v1.0.400"), []byte("service-400:v1"), 1); !bytes.Equal(edited, want) {
		t.Error("more or less than the one image was edited")
	}
}

// typical is one such Deployment.
func typical() []byte {
	data := large(2, 0)
	return data[:bytes.Index(data[4:], []byte("---"))+4]
}

func benchmarkNodes(b *testing.B, data []byte) {
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Nodes("f.yaml", data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNodesTypical(b *testing.B) { benchmarkNodes(b, typical()) }

func BenchmarkNodesFiveMegabytes(b *testing.B) { benchmarkNodes(b, large(5800, 0)) }

func BenchmarkEditTypical(b *testing.B) {
	data := typical()
	nodes, err := Nodes("", data)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Edit(data, []Change{{Pointer: nodes[0].Pointer, Value: "ghcr.io/acme/service-0:v2"}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChangedTypical(b *testing.B) {
	data := typical()
	after := bytes.Replace(data, []byte("v1.0.0"), []byte("v1.0.1"), 1)
	for b.Loop() {
		if _, _, err := Changed(data, after); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMayHold(b *testing.B) {
	data := large(5800, 0)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if MayHold(data, "ghcr.io/acme/absent:v9.9.9") {
			b.Fatal("found")
		}
	}
}
