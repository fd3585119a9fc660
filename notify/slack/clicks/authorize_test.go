package clicks

import (
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// let is a click, and facts that let it.
func let() (Click, facts) {
	r := asked()
	return Click{App: "A", Team: "T", User: "U1", UserTeam: "T", Channel: "C", Message: "1.2"}, facts{
		app: "A", team: "T", rollback: r, uid: string(r.UID), asked: card.Question(r), question: card.Question(r), open: true,
		answer: v1alpha1.Approve,
		places: []Place{{"p/slack", "C", "1.2"}}, provider: "p/slack", person: Person{Team: "T"},
		rules: []Rule{{Policy: "p/a", SlackApproval: v1alpha1.SlackApproval{Users: []string{"U1"}}}},
	}
}

func TestAuthorize(t *testing.T) {
	tests := map[string]struct {
		vary func(*Click, *facts)
		want Result
	}{
		"a listed person on our card":      {func(*Click, *facts) {}, ""},
		"an app that is not known yet":     {func(c *Click, f *facts) { c.App, f.app = "", "" }, WrongApp},
		"no team":                          {func(c *Click, f *facts) { c.Team, f.team = "", "" }, WrongTeam},
		"the organisation's own":           {func(c *Click, f *facts) { c.Team, c.Enterprise, c.UserTeam, f.enterprise = "", "E", "E", "E" }, ""},
		"another team of the organisation": {func(c *Click, f *facts) { c.Team, c.Enterprise, f.enterprise = "T2", "E", "E" }, WrongTeam},
		"a person of another team of it":   {func(c *Click, f *facts) { c.UserTeam, f.enterprise = "T2", "E" }, WrongTeam},
		"an app of the whole organisation": {func(c *Click, f *facts) { c.Enterprise, f.team, f.enterprise = "E1", "E1", "E1" }, WrongTeam},
		"that names no team":               {func(c *Click, f *facts) { c.Team, c.Enterprise, f.team, f.enterprise = "", "E1", "E1", "E1" }, WrongTeam},
		"an answer that cannot be carried out": {func(_ *Click, f *facts) {
			f.rollback.Status.Question.Answers = []v1alpha1.Answer{v1alpha1.Reject}
		}, Stale},
		"an answer to an older question": {func(_ *Click, f *facts) {
			decided(f, "slack:T/U1")
			f.rollback.Spec.Decisions[0].Question = "000000000001"
		}, ""},
		"a person of no team":                {func(c *Click, _ *facts) { c.UserTeam = "" }, WrongTeam},
		"a person whom Slack does not place": {func(_ *Click, f *facts) { f.person = Person{} }, WrongTeam},
		"a stranger":                         {func(_ *Click, f *facts) { f.person.Stranger = true }, WrongTeam},
		"a guest":                            {func(_ *Click, f *facts) { f.person.Guest = true }, Guest},
		"a bot":                              {func(_ *Click, f *facts) { f.person.Bot = true }, NotListed},
		"somebody who has left":              {func(_ *Click, f *facts) { f.person.Gone = true }, NotListed},
		"no Rollback":                        {func(_ *Click, f *facts) { f.rollback = nil }, Gone},
		"another Rollback of that name":      {func(_ *Click, f *facts) { f.uid = "other" }, Gone},
		"a card without a UID":               {func(_ *Click, f *facts) { f.uid, f.rollback.UID = "", "" }, Gone},
		"a card that was never stored":       {func(_ *Click, f *facts) { f.places = nil }, WrongPlace},
		"no place":                           {func(c *Click, f *facts) { c.Channel, c.Message, f.places = "", "", []Place{{}} }, WrongPlace},
		"no policy":                          {func(_ *Click, f *facts) { f.rules = nil }, NotListed},
		"a policy that lists nobody":         {func(_ *Click, f *facts) { f.rules[0].Users = nil }, NotListed},
		"a member of a group": {func(_ *Click, f *facts) {
			f.rules[0].Users, f.rules[0].UserGroups, f.groups = nil, []string{"S1", "S2"}, map[string]bool{"S2": true}
		}, ""},
		"a member of another group": {func(_ *Click, f *facts) {
			f.rules[0].Users, f.rules[0].UserGroups, f.groups = nil, []string{"S1"}, map[string]bool{"S2": true}
		}, NotListed},
		"everybody in the channel":                        {func(_ *Click, f *facts) { f.rules[0].Users, f.rules[0].ChannelMembers = nil, true }, ""},
		"a policy of another namespace than the Provider": {func(_ *Click, f *facts) { f.rules[0].Policy = "fleet/a" }, NotListed},
		"a policy of the platform beside the tenant's": {func(_ *Click, f *facts) {
			f.rules = append(f.rules, Rule{Policy: "fleet/a", SlackApproval: f.rules[0].SlackApproval})
		}, NotListed},
		"the platform's Provider for a tenant's policy": {func(_ *Click, f *facts) { f.provider, f.platform = "backstop-system/slack", true }, ""},
		"a Provider without a name":                     {func(_ *Click, f *facts) { f.provider, f.rules[0].Policy = "", "" }, NotListed},
		"let by one of two policies":                    {func(_ *Click, f *facts) { f.rules = append(f.rules, Rule{Policy: "p/b"}) }, NotListed},
		"let by both":                                   {func(_ *Click, f *facts) { f.rules = append(f.rules, f.rules[0]) }, ""},
		"another question":                              {func(_ *Click, f *facts) { f.asked = "000000000000" }, Stale},
		"no question":                                   {func(_ *Click, f *facts) { f.asked, f.question = "", "" }, Stale},
		"nobody is asked":                               {func(_ *Click, f *facts) { f.open = false }, Stale},
		"an answer that is there":                       {func(_ *Click, f *facts) { decided(f, "slack:T/U2") }, TooLate},
		"a verdict":                                     {func(_ *Click, f *facts) { f.rollback.Status.Verdict = &v1alpha1.Verdict{By: "policy p/a"} }, TooLate},
		"an end":                                        {func(_ *Click, f *facts) { f.open, f.rollback.Status.Outcome = false, &v1alpha1.Outcome{} }, TooLate},
		"who may not decide hears that first":           {func(_ *Click, f *facts) { decided(f, "slack:T/U2"); f.rules = nil }, NotListed},
		"who is a guest is told nothing else":           {func(_ *Click, f *facts) { f.person.Guest, f.open = true, false }, Guest},
		"another app's click hears only that":           {func(c *Click, f *facts) { c.App, f.rollback = "A2", nil }, WrongApp},
		"a value of another cluster's card":             {func(_ *Click, f *facts) { f.rollback, f.places = nil, nil }, Gone},
		"a question that is asked no more now":          {func(_ *Click, f *facts) { f.question = "" }, Stale},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, f := let()
			tt.vary(&c, &f)
			no := authorize(c, f)
			switch {
			case no == nil && tt.want != "":
				t.Errorf("let, want %s", tt.want)
			case no != nil && no.result != tt.want:
				t.Errorf("refused as %s (%s), want %q", no.result, no.sentence, tt.want)
			}
		})
	}
}

func decided(f *facts, by string) {
	f.rollback.Spec.Decisions = []v1alpha1.Decision{{By: by, Question: f.question, Answer: v1alpha1.Approve}}
}

func TestSentencesAreHarmless(t *testing.T) {
	hostile := "x`<!channel> & \n*bold*" + strings.Repeat("y", 500)
	c, f := let()
	decided(&f, hostile)
	no := authorize(c, f)
	if no == nil || strings.Contains(no.sentence, "<!channel>") || strings.Count(no.sentence, "`") != 2 || strings.Contains(no.sentence, "\n") {
		t.Errorf("says %+v", no)
	}
	for by, want := range map[string]string{
		"slack:T0ACME/" + slackstub.Jane: "<@U0JANE>", "slack:T/U>": "`slack:T/U&gt;`", "slack:": "`slack:`", "jane": "`jane`",
	} {
		if got := mention(by); got != want {
			t.Errorf("mention(%q) = %q, want %q", by, got, want)
		}
	}
}
