package reconcile

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

const (
	marked   = `        image: reg.local/app:v2 # {"$imagepolicy": "develop:app"}`
	unmarked = `        image: reg.local/app:v2`
	was      = `        image: reg.local/app:v1 # {"$imagepolicy": "develop:app"}`
)

// incoming is an open pull request that is read whole, and changes lines of files.
func incoming(files ...FileChange) Incoming {
	return Incoming{PullRequest: PullRequest{Number: 12, URL: "https://git.example/pulls/12", State: v1alpha1.PullRequestOpen,
		Head: "h", Base: "main"}, Whole: true, Files: files}
}

func TestWhatBringsItAgainIsJudgedByItsLines(t *testing.T) {
	image := v1alpha1.Suspect{Places: []v1alpha1.Place{{File: "app.yaml", Pointer: "0/spec/template/spec/containers/app/image", Part: "Image",
		Bad: "reg.local/app:v2", Former: "reg.local/app:v1", Marker: "develop:app"}}}
	tag := v1alpha1.Suspect{Places: []v1alpha1.Place{{File: "app.yaml", Pointer: "0/spec/values/image/tag", Part: "Tag",
		Bad: "v2", Former: "v1", Marker: "develop:app"}}}
	plain := v1alpha1.Suspect{Places: []v1alpha1.Place{{File: "app.yaml", Pointer: "0/images/0/newTag", Part: "Tag", Bad: "v2", Former: "v1"}}}
	file := v1alpha1.Suspect{Places: []v1alpha1.Place{{File: "app.yaml", Part: v1alpha1.PartFile, Bad: "v2", Former: "v1"}}}
	change := func(added, removed string) FileChange {
		f := FileChange{File: "app.yaml"}
		if added != "" {
			f.Added = strings.Split(added, "\n")
		}
		if removed != "" {
			f.Removed = strings.Split(removed, "\n")
		}
		return f
	}
	elsewhere := change(marked, was)
	elsewhere.File = "staging/app.yaml"
	fork, half := incoming(change(marked, was)), incoming(change(marked, was))
	fork.Fork, half.Whole = true, false
	const tagged, wasTagged = `  tag: v2 # {"$imagepolicy": "develop:app:tag"}`, `  tag: v1 # {"$imagepolicy": "develop:app:tag"}`
	for name, tt := range map[string]struct {
		suspect v1alpha1.Suspect
		in      Incoming
		brings  bool
		left    v1alpha1.ReturningLeft
	}{
		"image automation's":                      {image, incoming(change(marked, was)), true, ""},
		"image automation's, of a tag":            {tag, incoming(change(tagged, wasTagged)), true, ""},
		"image automation's, with other images":   {image, incoming(change(marked, was), FileChange{"b.yaml", []string{`x: b:2 # {"$imagepolicy": "d:b"}`}, []string{`x: b:1 # {"$imagepolicy": "d:b"}`}}), true, ""},
		"Renovate's, which knows no marker":       {image, incoming(change(unmarked, "        image: reg.local/app:v1")), true, v1alpha1.LeftMoreChanges},
		"with another change beside it":           {image, incoming(change(marked+"\nreplicas: 3", was+"\nreplicas: 2")), true, v1alpha1.LeftMoreChanges},
		"with a file beside it":                   {image, incoming(change(marked, was), FileChange{File: "README.md", Added: []string{"x"}}), true, v1alpha1.LeftMoreChanges},
		"which takes the marker away, too":        {image, incoming(change(unmarked, was)), true, v1alpha1.LeftMoreChanges},
		"a fork's":                                {image, fork, true, v1alpha1.LeftFork},
		"one that was not read whole":             {image, half, true, v1alpha1.LeftUnsure},
		"a newer image":                           {image, incoming(change(strings.Replace(marked, "v2", "v3", 1), was)), false, ""},
		"one whose name begins alike":             {image, incoming(change(strings.Replace(marked, "v2", "v2.1", 1), was)), false, ""},
		"one whose name ends alike":               {image, incoming(change(strings.Replace(marked, "reg.local/app:v2", "other.reg.local/app:v2", 1), was)), false, ""},
		"another place's":                         {image, incoming(elsewhere), false, ""},
		"another policy's marker":                 {image, incoming(change(strings.Replace(marked, "develop:app", "develop:app-canary", 1), was)), false, ""},
		"only mentioned in a comment":             {image, incoming(change("        # image: reg.local/app:v2", "")), false, ""},
		"only mentioned behind a value":           {image, incoming(change("        image: reg.local/app:v1 # was reg.local/app:v2", "")), false, ""},
		"only taken away":                         {image, incoming(change(was, marked)), false, ""},
		"ours: it lifts the hold":                 {image, incoming(change(was, `        image: reg.local/app:v1 # backstop:hold not=v2 {"$imagepolicy": "develop:app"}`)), false, ""},
		"a tag that no marker says whose it is":   {plain, incoming(change("  newTag: v2", "  newTag: v1")), true, v1alpha1.LeftUnsure},
		"a tag in quotes":                         {plain, incoming(change(`- newTag: "v2"`, "")), true, v1alpha1.LeftUnsure},
		"the same word at another key":            {plain, incoming(change("  version: v2", "  version: v1")), false, ""},
		"a whole file, of which no line says it":  {file, incoming(change("v2", "v1")), false, ""},
		"nothing":                                 {image, incoming(), false, ""},
		"a line that is no YAML":                  {image, incoming(change("reg.local/app:v2", "")), false, ""},
		"a JSON file, which has no comments":      {image, incoming(change(`  "image": "reg.local/app:v2",`, `  "image": "reg.local/app:v1",`)), true, v1alpha1.LeftMoreChanges},
		"one where nothing but the order is both": {image, incoming(change(marked+"\n"+tagged, wasTagged+"\n"+was)), true, v1alpha1.LeftMoreChanges},
	} {
		t.Run(name, func(t *testing.T) {
			if brings, left := returns(&tt.in, &tt.suspect); brings != tt.brings || left != tt.left {
				t.Errorf("it brings it again: %v, %q; want %v, %q", brings, left, tt.brings, tt.left)
			}
		})
	}
}

// returningWorld is a revert that landed by pull request, beside pull requests that bring the image again.
func returningWorld(t *testing.T, policy v1alpha1.PullRequestPolicy, act func(p *proposals), all ...Incoming) *proposals {
	t.Helper()
	p, e := byPullRequest(v1alpha1.DeliveryPullRequest, v1alpha1.ModeAuto)
	p.spec.PullRequest, p.shut = &policy, map[int64]string{}
	p.goOn(t, e, time.Minute)
	p.pr.Merge = MergeClean
	p.incoming = all
	act(p)
	p.goOn(t, e, 2*time.Minute)
	p.rollOut()
	p.goOn(t, e, 5*time.Minute)
	if s := &p.record().Status; s.Outcome == nil || s.Outcome.Result != v1alpha1.ResultVerified {
		t.Fatalf("it ends %+v\n%s", s.Outcome, p.story())
	}
	return p
}

func TestAutomationsOwnPullRequestOpen(t *testing.T) {
	place := func(p *proposals) v1alpha1.Place { return p.record().Status.Suspect.Places[0] }
	probe := returningWorld(t, v1alpha1.PullRequestPolicy{}, func(*proposals) {})
	n := place(probe)
	key := n.Pointer[strings.LastIndexByte(n.Pointer, '/')+1:]
	line := func(value string) string {
		return key + ": " + value + ` # {"$imagepolicy": "` + n.Marker + `"}`
	}
	automation := incoming(FileChange{n.File, []string{line(n.Bad)}, []string{line(n.Former)}})
	mixed := incoming(FileChange{n.File, []string{line(n.Bad), "replicas: 3"}, []string{line(n.Former), "replicas: 2"}})
	mixed.Number, mixed.URL = 13, "https://git.example/pulls/13"
	newer := incoming(FileChange{n.File, []string{line(imgBad2)}, []string{line(n.Former)}})
	newer.Number = 14
	closing := v1alpha1.PullRequestPolicy{CloseAutomations: true}
	for name, tt := range map[string]struct {
		policy v1alpha1.PullRequestPolicy
		act    func(p *proposals)
		closed []int64
		want   []v1alpha1.ReturningPull
		unread string
	}{
		"closed where the policy says so": {closing, func(*proposals) {}, []int64{12}, []v1alpha1.ReturningPull{
			{Number: 12, URL: "https://git.example/pulls/12", State: v1alpha1.PullRequestClosed},
			{Number: 13, URL: "https://git.example/pulls/13", State: v1alpha1.PullRequestOpen, Left: v1alpha1.LeftMoreChanges}}, ""},
		"named where it does not": {v1alpha1.PullRequestPolicy{}, func(*proposals) {}, nil, []v1alpha1.ReturningPull{
			{Number: 12, URL: "https://git.example/pulls/12", State: v1alpha1.PullRequestOpen, Left: v1alpha1.LeftByPolicy},
			{Number: 13, URL: "https://git.example/pulls/13", State: v1alpha1.PullRequestOpen, Left: v1alpha1.LeftMoreChanges}}, ""},
		"the provider is away": {closing, func(p *proposals) { _ = p.merge("joe"); p.away = true }, nil, nil, "HTTP 502"},
	} {
		t.Run(name, func(t *testing.T) {
			p := returningWorld(t, tt.policy, tt.act, newer, automation, mixed)
			var closed []int64
			for number, why := range p.shut {
				closed = append(closed, number)
				if !strings.Contains(why, n.Bad) && !strings.Contains(why, imgBad) || !strings.Contains(why, "Delete its branch too") {
					t.Errorf("it is closed with %q", why)
				}
			}
			got := p.record().Status.Returning
			if !slices.Equal(closed, tt.closed) || got == nil || !slices.Equal(got.PullRequests, tt.want) ||
				!strings.Contains(got.Unread, tt.unread) || tt.unread == "" && got.Unread != "" {
				t.Errorf("closed %v, and the record has %+v\n%s", closed, got, p.story())
			}
		})
	}
	t.Run("not closed after the policy was suspended", func(t *testing.T) {
		p, e := byPullRequest(v1alpha1.DeliveryPullRequest, v1alpha1.ModeAuto)
		p.spec.PullRequest, p.shut = &closing, map[int64]string{}
		p.goOn(t, e, time.Minute)
		p.incoming = []Incoming{automation}
		_ = p.merge("joe")
		p.suspended = true
		p.goOn(t, e, 2*time.Minute)
		if got := p.record().Status.Returning; len(p.shut) > 0 || got == nil || len(got.PullRequests) != 1 ||
			got.PullRequests[0].Left != v1alpha1.LeftByPolicy {
			t.Errorf("closed %v, and the record has %+v\n%s", p.shut, got, p.story())
		}
	})
}
