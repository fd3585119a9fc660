package manifest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

var mark = Mark{
	Not: "develop-v1.1.0-1700000200", Since: time.Date(2026, 11, 21, 9, 13, 26, 0, time.UTC), Lift: v1alpha1.LiftNewerImage,
}

const marked = `{"$imagepolicy": "develop:backend"}`

func TestAHoldIsAPrefixOfTheMarker(t *testing.T) {
	const prefix = "backstop:hold not=develop-v1.1.0-1700000200 since=2026-11-21T09:13:26Z "
	for _, tc := range []struct{ name, before, pointer, after string }{
		{"behind a scalar", "a: v # " + marked + "\n", "#/a", "a: v # " + prefix + marked + "\n"},
		{"with CRLF", "a: v # " + marked + "\r\nb: w\r\n", "#/a", "a: v # " + prefix + marked + "\r\nb: w\r\n"},
		{"with a byte order mark and no newline", "\uFEFFa: v # " + marked, "#/a", "\uFEFFa: v # " + prefix + marked},
		{"without a space", "a: \"v\" #" + marked + "\n", "#/a", "a: \"v\" #" + prefix + marked + "\n"},
		{"with more hashes and blanks", "a: v ## \t" + marked + " \t\n", "#/a", "a: v ## \t" + prefix + marked + " \t\n"},
		{"in a flow mapping of several lines", "a: {\n  b: v, # " + marked + "\n  c: w\n}\n", "#/a/b", "a: {\n  b: v, # " + prefix + marked + "\n  c: w\n}\n"},
		{"above a list item", "a:\n  # " + marked + "\n  - v\n", "#/a[0]", "a:\n  # " + prefix + marked + "\n  - v\n"},
		{"on a hold that is there", "a: v # backstop:hold not=old lift=Manual " + marked + "\n", "#/a", "a: v # " + prefix + marked + "\n"},
		{"on a hold that a person wrote", "a: v # backstop:hold " + marked + "\n", "#/a", "a: v # " + prefix + marked + "\n"},
		{"with fields in the JSON", "a: v # {\"x\":\"{\",\"$imagepolicy\":\"n:p:tag\"}\n", "#/a", "a: v # " + prefix + "{\"x\":\"{\",\"$imagepolicy\":\"n:p:tag\"}\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := WriteHold([]byte(tc.before), tc.pointer, mark)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.after, string(got)); diff != "" {
				t.Errorf("after WriteHold (-want +got):\n%s", diff)
			}
			nodes, err := Nodes("", got)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&mark, nodes[0].Held); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
			if _, set, err := automate(got, "develop:backend", "n:p"); err == nil && set != 0 {
				t.Errorf("image automation still writes it")
			}
			cleared, err := ClearHold(got, tc.pointer)
			if err != nil {
				t.Fatal(err)
			}
			before := tc.before
			if i := strings.Index(before, "backstop:hold"); i >= 0 {
				before = before[:i] + before[strings.Index(before, "{"):]
			}
			if diff := cmp.Diff(before, string(cleared)); diff != "" {
				t.Errorf("after ClearHold (-want +got):\n%s", diff)
			}
			again, err := ClearHold(cleared, tc.pointer)
			if err != nil || string(again) != string(cleared) {
				t.Errorf("a second ClearHold gives %q, %v", again, err)
			}
		})
	}
}

func TestAHoldSaysWhatItIs(t *testing.T) {
	for _, tc := range []struct {
		name, comment string
		want          *Mark
	}{
		{"everything", "# backstop:hold not=v1 since=2026-11-21T09:13:26Z lift=Manual ", &Mark{"v1", mark.Since, v1alpha1.LiftManual}},
		{"another order and zone, and fields of a later version", "# backstop:hold lift=Manual x=y since=2026-11-21T10:13:26+01:00 not=v1 ", &Mark{"v1", mark.Since, v1alpha1.LiftManual}},
		{"nothing", "# backstop:hold ", &Mark{Lift: v1alpha1.LiftNewerImage}},
		{"no space before the marker", "# backstop:hold", &Mark{Lift: v1alpha1.LiftNewerImage}},
		{"nonsense in every field", "# backstop:hold not=%zz since=yesterday lift=Never ", &Mark{Lift: v1alpha1.LiftManual}},
		{"a person's spelling", "# backstop:hold not=v1 lift=manual ", &Mark{Not: "v1", Lift: v1alpha1.LiftManual}},
		{"what a later version may lift it by", "# backstop:hold not=v1 lift=NewerMinor ", &Mark{Not: "v1", Lift: v1alpha1.LiftManual}},
		{"nothing that lifts it", "# backstop:hold not=v1 lift= ", &Mark{Not: "v1", Lift: v1alpha1.LiftManual}},
		{"two words, of which a person's counts", "# backstop:hold not=v1 lift=Manual lift=NewerImage ", &Mark{Not: "v1", Lift: v1alpha1.LiftManual}},
		{"a value with characters that would end it", "# backstop:hold not=a%20%7B%23%0Ab since=2026-11-21T09:13:26Z ", &Mark{"a {#\nb", mark.Since, v1alpha1.LiftNewerImage}},
		{"another word", "# backstop:holding ", nil},
		{"another prefix", "# held backstop:hold ", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			nodes, err := Nodes("", []byte("image: a/b:v # "+strings.TrimPrefix(tc.comment, "# ")+marked+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, nodes[0].Held); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (nodes[0].Policy != "") != (tc.want != nil) {
				t.Errorf("policy %q", nodes[0].Policy)
			}
		})
	}
}

func TestHoldsAreRefusedWhereNoMarkerIs(t *testing.T) {
	for _, tc := range []struct {
		name, yaml, pointer string
		want                error
	}{
		{"no comment", "image: a:v1\n", "#/image", ErrRefused},
		{"a marker behind a flow mapping", "{image: a:v1} # " + marked + "\n", "#/image", ErrRefused},
		{"a marker with trailing text", "image: a:v1 # " + marked + " held\n", "#/image", ErrRefused},
		{"a marker behind an alias", "x: &i a:v1\nimage: *i # " + marked + "\n", "#/image", ErrRefused},
		{"no node", "a: v\n", "#/a", ErrNoNode},
		{"SOPS", "a: v # " + marked + "\nsops: {mac: x, version: 3.9}\n", "#/a", ErrSOPS},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, err := WriteHold([]byte(tc.yaml), tc.pointer, mark); !errors.Is(err, tc.want) || got != nil {
				t.Errorf("WriteHold: %q, %v; want %v", got, err, tc.want)
			}
		})
	}
}

// A held node is what it was after image automation wrote the others of its file, and the hold still reads.
func TestAHoldSurvivesImageAutomation(t *testing.T) {
	for _, name := range []string{"indent.yaml", "multi.yaml", "helmrelease.yaml", "kustomization-images.yaml"} {
		data := read(t, "testdata/writeback/before/"+name)
		nodes, err := Nodes(name, data)
		if err != nil {
			t.Fatal(err)
		}
		var held *Node
		for i, n := range nodes {
			if n.Policy == "develop:backend" && n.Held == nil && n.Suffix != "name" && held == nil {
				held = &nodes[i]
			}
		}
		if data, err = WriteHold(data, held.Pointer, mark); err != nil {
			t.Fatal(err)
		}
		after, set, err := automate(data, "develop:backend")
		if err != nil || set == 0 {
			t.Fatalf("%s: image automation wrote nothing: %v", name, err)
		}
		nodes, err = Nodes(name, after)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			switch {
			case n.Pointer == held.Pointer:
				want := *held
				want.Held, want.Line = &mark, n.Line
				if diff := cmp.Diff(want, n); diff != "" {
					t.Errorf("%s: the held node (-want +got):\n%s", name, diff)
				}
			case n.Policy == "develop:backend" && n.Held == nil && n.Value != written(n.Suffix):
				t.Errorf("%s: %s is %q", name, n.Pointer, n.Value)
			}
		}
		if after, err = ClearHold(after, held.Pointer); err != nil {
			t.Fatal(err)
		}
		if _, again, err := automate(after, "develop:backend"); err != nil || again != set+1 {
			t.Errorf("%s: after the lift image automation knows %d markers, want %d; %v", name, again, set+1, err)
		}
	}
}
