package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestColumns(t *testing.T) {
	long := strings.Repeat("wörter ", 40)
	tests := map[string]struct {
		full bool
		rows [][][]string
		want string
	}{
		"a row that comes later stands below the header": {rows: [][][]string{{{"backend-1", "x"}}, {{"a", "y"}}},
			want: "NAME        STATUS\nbackend-1   x\na           y\n"},
		"an empty cell is visible": {rows: [][][]string{{{"a", ""}}}, want: "NAME   STATUS\na      -\n"},
		"foreign text moves no cursor": {rows: [][][]string{{{"a", "x\x1b[31m\ny\u202ez"}}},
			want: "NAME   STATUS\na      x [31m y z\n"},
		"the last cell is cut to the width of a terminal": {rows: [][][]string{{{"a", long}}},
			want: "NAME   STATUS\na      " + string([]rune(long)[:maxWidth-8]) + "…\n"},
		"a last cell that has no room keeps the start of its sentence": {rows: [][][]string{{{strings.Repeat("w", 150), "at about 14:30:00 UTC"}}},
			want: "NAME" + strings.Repeat(" ", 149) + "STATUS\n" + strings.Repeat("w", 150) + "   at about 14:30:00 UTC\n"},
		"wide is whole":            {full: true, rows: [][][]string{{{"a", long}}}, want: "NAME   STATUS\na      " + strings.TrimSpace(long) + "\n"},
		"nothing yet has a header": {rows: [][][]string{{}}, want: "NAME   STATUS\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			c := columns{out: &out, header: []string{"NAME", "STATUS"}, full: tt.full}
			for _, rows := range tt.rows {
				c.print(rows)
			}
			if diff := cmp.Diff(tt.want, out.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			for line := range strings.Lines(out.String()) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > maxWidth && !tt.full && !strings.Contains(name, "no room") {
					t.Errorf("%d columns: %s", n, line)
				}
			}
		})
	}
}

// An image is named in fewer words where the status has no room otherwise, for every row alike.
func TestAnImageGivesWayToTheStatus(t *testing.T) {
	const image, said = "registry.example.com/shop/backend:production-v1.2.0-1700000000", "backstop approve|reject by 13:36 UTC: the policy asks for an approval"
	for name, tt := range map[string]struct {
		first, want string
		full        bool
	}{
		"it is whole where there is room": {"web-1", image, false},
		"without its registry":            {strings.Repeat("n", 40), "backend:production-v1.2.0-1700000000", false},
		"by its tag":                      {strings.Repeat("n", 57), "production-v1.2.0-1700000000", false},
		"whole when all is":               {strings.Repeat("n", 57), image, true},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			c := columns{out: &out, header: []string{"NAME", "SUBJECT", "AGE", "STATUS"}, image: 1, full: tt.full}
			c.print([][]string{{tt.first, image, "5s", said}, {"web-2", "Kustomization/apps", "5s", said}})
			c.print([][]string{{"web-3", image, "2m30s", said}})
			if n := strings.Count(out.String(), "   "+tt.want+"   "); n != 2 || !strings.Contains(out.String(), "   Kustomization/apps   ") {
				t.Errorf("%d rows name %s:\n%s", n, tt.want, out.String())
			}
			for line := range strings.Lines(out.String()) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > maxWidth && !tt.full {
					t.Errorf("%d columns: %s", n, line)
				}
			}
		})
	}
}

func TestCompletionKnowsContexts(t *testing.T) {
	code, out, errs := call(t, "__complete", "get", "--kubeconfig=testdata/kubeconfig", "--context", "")
	if code != exitOK || !strings.HasPrefix(out, "a\nb\n:4\n") {
		t.Errorf("exit code %d, %q and %q", code, out, errs)
	}
	for _, command := range []string{"approve", "reject", "lift"} {
		// A name is completed from the cluster, and no file is offered instead.
		code, out, errs = call(t, "__complete", command, "--kubeconfig=testdata/kubeconfig", "backend-1", "")
		if code != exitOK || !strings.HasPrefix(out, ":4\n") {
			t.Errorf("%s: exit code %d, %q and %q", command, code, out, errs)
		}
	}
	code, out, errs = call(t, "__complete", "check", "--output", "")
	if code != exitOK || !strings.HasPrefix(out, "text\njson\ngithub\n") {
		t.Errorf("formats of check: exit code %d, %q and %q", code, out, errs)
	}
	for _, args := range [][]string{{"trace", "deploy/"}, {"doctor", ""}, {"blame", "deploy", ""}, {"revert", ""}, {"get", "rollback/"}, {"approve", "rollback", ""}} {
		code, out, errs = call(t, append([]string{"__complete", args[0], "--kubeconfig=testdata/kubeconfig"}, args[1:]...)...)
		if code != exitOK || !strings.HasPrefix(out, ":4\n") {
			t.Errorf("%v: exit code %d, %q and %q", args, code, out, errs)
		}
	}
	if code, out, errs = call(t, "__complete", "trace", "-o", ""); code != exitOK || !strings.HasPrefix(out, "json\nyaml\n:4\n") {
		t.Errorf("exit code %d, %q and %q", code, out, errs)
	}
	code, out, errs = call(t, "__complete", "get", "")
	if code != exitOK || !strings.HasPrefix(out, "rollbacks\npolicies\nholds\ndrift\nevents\n") {
		t.Errorf("exit code %d, %q and %q", code, out, errs)
	}
}
