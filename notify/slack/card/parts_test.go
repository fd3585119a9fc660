package card

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestValueComesBack(t *testing.T) {
	r := rollback(failures, target)
	got, err := ParseValue(Value(r))
	if err != nil {
		t.Fatal(err)
	}
	want := Ref{Namespace: "shop", Name: "shop-api-1f2e3d4c5b-1", UID: string(r.UID), Question: Question(r)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestACardCarriesTheQuestionOfTheRecord(t *testing.T) {
	r := rollback(failures, target)
	if got := Question(r); got != noQuestion {
		t.Errorf("where nothing is asked: %s", got)
	}
	asks(policyAsks)(r)
	if got := Question(r); got != r.Status.Question.ID {
		t.Errorf("got %s, want %s", got, r.Status.Question.ID)
	}
}

func TestACardSaysWhatTheSamePolicyWritesAndStays(t *testing.T) {
	r := rollback(failures, target)
	r.Status.Suspect.Stays = []v1alpha1.MarkedValue{{File: "apps/shop/chart.yaml", Value: "v1.42.0", Marker: "shop:shop-api"}}
	want := "*Not reverted* `v1.42.0` in `apps/shop/chart.yaml`, which the same ImagePolicy writes"
	if got := scope(Facts{Rollback: r}); !strings.Contains(got, want) {
		t.Errorf("%q is not said in:\n%s", want, got)
	}
}

func FuzzParseValue(f *testing.F) {
	f.Add(Value(rollback(failures, target)))
	for _, s := range []string{"", "v1", "v1/a/b/c/0123456789ab", "v2/a/b/c/0123456789ab", "v1/../b/c/0123456789ab", "v1//b/c/0123456789ab/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseValue(s)
		if err != nil {
			return
		}
		if back := strings.Join([]string{"v1", r.Namespace, r.Name, r.UID, r.Question}, "/"); back != s {
			t.Errorf("%q came back as %q", s, back)
		}
	})
}

func TestLinks(t *testing.T) {
	const hash = "4be1c2d9a7f3058e6b1d2c4f8a90e7b3c5d1f602"
	for name, tt := range map[string]struct {
		links Links
		want  string
	}{
		"GitHub":                   {Links{Repository: "https://github.com/example/fleet.git"}, "https://github.com/example/fleet/commit/" + hash},
		"GitHub over SSH":          {Links{Repository: "ssh://git@github.com:22/example/fleet"}, "https://github.com/example/fleet/commit/" + hash},
		"GitHub in scp's form":     {Links{Repository: "git@github.com:example/fleet.git"}, "https://github.com/example/fleet/commit/" + hash},
		"GitLab of one's own":      {Links{Repository: "https://gitlab.example.com/a/b/fleet"}, "https://gitlab.example.com/a/b/fleet/-/commit/" + hash},
		"Bitbucket":                {Links{Repository: "https://bitbucket.org/example/fleet"}, "https://bitbucket.org/example/fleet/commits/" + hash},
		"Azure DevOps":             {Links{Repository: "https://dev.azure.com/org/project/_git/fleet"}, "https://dev.azure.com/org/project/_git/fleet/commit/" + hash},
		"Azure DevOps over SSH":    {Links{Repository: "git@ssh.dev.azure.com:v3/org/project/fleet"}, "https://dev.azure.com/org/project/_git/fleet/commit/" + hash},
		"a token in the URL":       {Links{Repository: "https://x:ghp_secret@github.com/example/fleet"}, "https://github.com/example/fleet/commit/" + hash},
		"a host that nobody knows": {Links{Repository: "https://git.example.com/fleet"}, ""},
		"a template":               {Links{Repository: "ssh://git@git.example.com/team/fleet.git", Template: "https://git.example.com/web/{repository}/c/{commit}"}, "https://git.example.com/web/team/fleet/c/" + hash},
		"a template that is none":  {Links{Template: "javascript:alert(1)//{commit}"}, ""},
		"a file":                   {Links{Repository: "/srv/git/fleet"}, ""},
		"what ends a link":         {Links{Repository: "https://github.com/a|b/c>d"}, "https://github.com/a%7Cb/c%3Ed/commit/" + hash},
		"no repository":            {Links{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.links.Commit(hash); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if got := (Links{Repository: "https://github.com/a/b"}).Commit("main|<x>"); got != "" {
		t.Errorf("a name that is no hash got the link %q", got)
	}
}

func TestReadyForAFirstMessage(t *testing.T) {
	for name, tt := range map[string]struct {
		edits []edit
		want  bool
	}{
		"opened":                        {nil, false},
		"in the grace period":           {[]edit{failures}, false},
		"recovered in the grace period": {[]edit{failures, ends(v1alpha1.ResultRecovered, "runs after all")}, false},
		"Git is away":                   {[]edit{failures, waits("fetch main: i/o timeout; trying again", "")}, true},
		"facts are looked up":           {[]edit{failures, target}, false},
		"people are asked":              {[]edit{failures, target, asks(policyAsks)}, true},
		"the policy allowed it":         {[]edit{failures, target, verdict("policy shop/web", v1alpha1.Approve)}, true},
		"nothing can be done":           {[]edit{failures, ends(v1alpha1.ResultSourceNotFound, "not Flux's")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Ready(rollback(tt.edits...)); got != tt.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestNote(t *testing.T) {
	asked := []edit{failures, target, asks(policyAsks)}
	for name, tt := range map[string]struct {
		before, after []edit
		want          string
		broadcast     bool
	}{
		"nothing new": {asked, asked, "", false},
		"a question before anything was posted": {[]edit{failures, target}, asked,
			"⚠️ a person decides by 21 Nov 15:24:40 UTC whether registry.example/shop/shop-api:v1.42.0 goes back to registry.example/shop/shop-api:v1.41.3: the policy asks for an approval", false},
		"a question after the card was posted is shown in the channel": {[]edit{failures, target, waits("the branch cannot be read yet", "")}, asked,
			"⚠️ a person decides by 21 Nov 15:24:40 UTC whether registry.example/shop/shop-api:v1.42.0 goes back to registry.example/shop/shop-api:v1.41.3: the policy asks for an approval", true},
		"a decision names the person": {asked, append(asked, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve)),
			"*Approved* by <@U0JANE> at <!date^1795271468^{time}|14:31 UTC>", false},
		"an expiry is shown in the channel": {asked, append(asked, ends(v1alpha1.ResultExpired, "nobody <!here> decided in 1h")),
			"⚠️ nobody &lt;!here&gt; decided in 1h", true},
		"a good end is not": {asked, append(asked, ends(v1alpha1.ResultRecovered, "it runs")), "it runs", false},
	} {
		t.Run(name, func(t *testing.T) {
			text, broadcast, ok := Note(rollback(tt.before...), rollback(tt.after...))
			if text != tt.want || broadcast != tt.broadcast || ok != (tt.want != "") {
				t.Errorf("got %t %t %q\nwant %q", ok, broadcast, text, tt.want)
			}
		})
	}
}

func TestDigest(t *testing.T) {
	var many []*v1alpha1.Rollback
	for i := range 22 {
		r := rollback(failures, target)
		switch i % 3 {
		case 0:
			asks(policyAsks)(r)
		case 1:
			verdict("policy shop/web", v1alpha1.Approve)(r)
		}
		many = append(many, r)
	}
	c := Digest("prod-eu-1", many)
	if err := faults(c); err != nil {
		t.Error(err)
	}
	golden(t, "digest", c)
	apart := rollback(failures, target, ends(v1alpha1.ResultFailed, "not verified"))
	apart.Status.Suspect.Commit = "77aa88bb99cc"
	if c := Digest("prod-eu-1", append(many, apart)); !c.Broadcast || strings.Contains(c.Text, "since commit") {
		t.Errorf("a failure of another commit: broadcast %t, %s", c.Broadcast, c.Text)
	}
	if err := Validate(Digest("", nil)); err != nil {
		t.Errorf("of none: %v", err)
	}
}

func TestSeveralPoliciesEachSayWhoMayDecide(t *testing.T) {
	f := facts(rollback(failures, target, asks(policyAsks)))
	f.Policies = append(f.Policies, Policy{Name: "backstop-system/fleet"},
		Policy{Name: "shop/all", Approvers: v1alpha1.SlackApproval{ChannelMembers: true}})
	got := strings.Join(context(f)[:3], "\n")
	want := "May decide here, as shop/web says: <!subteam^S0ONCALL> and <@U0JANE>\n" +
		"and, as backstop-system/fleet says: nobody, as the policy lists no approvers\n" +
		"and, as shop/all says: everybody in this channel"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTagsTellImagesApart(t *testing.T) {
	const a, b = "sha256:9f86d081884c7d659a2feaa0c55ad015", "sha256:60303ae22b998861bce3b28f33eec1be"
	for name, tt := range map[string][4]string{
		"tags":                      {"r/a:v2", "r/a:v1", "v2", "v1"},
		"digests of one tag":        {"r/a:v1@" + a, "r/a:v1@" + b, "v1@9f86d081884c", "v1@60303ae22b99"},
		"digests alone":             {"r/a@" + a, "r/a@" + b, "@9f86d081884c", "@60303ae22b99"},
		"a port is no tag":          {"r:5000/a", "r:5000/a:v1", "r:5000/a", "v1"},
		"nothing to go back to yet": {"r/a:v2", "", "v2", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if bad, good := tags(tt[0], tt[1]); bad != tt[2] || good != tt[3] {
				t.Errorf("got %q and %q, want %q and %q", bad, good, tt[2], tt[3])
			}
		})
	}
}

func TestLasted(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 48 * time.Second: "48 s", 4 * time.Minute: "4 min", 62 * time.Second: "1 min 2 s",
		90 * time.Minute: "1 h 30 min", 72 * time.Hour: "3 days",
	} {
		if got := lasted(d); got != want {
			t.Errorf("%s: got %q, want %q", d, got, want)
		}
	}
}

func TestValidateKnowsSlacksLimits(t *testing.T) {
	good := func() Card {
		return Card{Text: "x", Blocks: []slack.Block{section("x")}}
	}
	button := func(id string) *slack.ButtonBlockElement {
		return slack.NewButtonBlockElement(id, "v", plainText("Go"))
	}
	for want, break1 := range map[string]func(*Card){
		"text: 0 characters":        func(c *Card) { c.Text = "" },
		"text: 4001 characters":     func(c *Card) { c.Text = strings.Repeat("é", 4001) },
		"blocks: 0":                 func(c *Card) { c.Blocks = nil },
		"blocks: 51":                func(c *Card) { c.Blocks = slicesOf(51) },
		"characters together":       func(c *Card) { c.Blocks = []slack.Block{full(), full(), full(), full(), full()} },
		"[0].text: 151 characters":  func(c *Card) { c.Blocks[0] = slack.NewHeaderBlock(plainText(strings.Repeat("h", 151))) },
		"[0].text: mrkdwn":          func(c *Card) { c.Blocks[0] = slack.NewHeaderBlock(mrkdwn("h")) },
		"[0].text: 3001 characters": func(c *Card) { c.Blocks[0] = section(strings.Repeat("h", 3001)) },
		"neither text nor fields":   func(c *Card) { c.Blocks[0] = slack.NewSectionBlock(nil, nil, nil) },
		"not verbatim": func(c *Card) {
			c.Blocks[0] = slack.NewSectionBlock(slack.NewTextBlockObject("mrkdwn", "x", false, false), nil, nil)
		},
		"fields[0]: 2001 characters": func(c *Card) {
			c.Blocks[0] = slack.NewSectionBlock(nil, []*slack.TextBlockObject{mrkdwn(strings.Repeat("f", 2001))}, nil)
		},
		"11 fields":                     func(c *Card) { c.Blocks[0] = slack.NewSectionBlock(nil, make([]*slack.TextBlockObject, 11), nil) },
		"[0]: 0 elements, want 1 to 10": func(c *Card) { c.Blocks[0] = slack.NewContextBlock("") },
		"[0]: 0 elements, want 1 to 25": func(c *Card) { c.Blocks[0] = slack.NewActionBlock("") },
		"is there twice":                func(c *Card) { c.Blocks[0] = slack.NewActionBlock("", button("a"), button("a")) },
		"action_id: 0":                  func(c *Card) { c.Blocks[0] = slack.NewActionBlock("", button("")) },
		"confirm.text: 301 characters": func(c *Card) {
			c.Blocks[0] = slack.NewActionBlock("", button("a").WithConfirm(slack.NewConfirmationBlockObject(plainText("t"), plainText(strings.Repeat("c", 301)), plainText("y"), plainText("n"))))
		},
		"no card has a *slack.DividerBl": func(c *Card) { c.Blocks[0] = slack.NewDividerBlock() },
		"want preformatted text":         func(c *Card) { c.Blocks[0] = slack.NewRichTextBlock("", slack.NewRichTextSection()) },
	} {
		t.Run(want, func(t *testing.T) {
			c := good()
			break1(&c)
			if err := Validate(c); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
		})
	}
	if err := Validate(good()); err != nil {
		t.Error(err)
	}
}

func full() slack.Block { return section(strings.Repeat("x", 3000)) }

func slicesOf(n int) []slack.Block {
	var out []slack.Block
	for range n {
		out = append(out, section("x"))
	}
	return out
}
