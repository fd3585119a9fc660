package clicks

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack/slackutilsx"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// Rule is who may decide, as one policy says it.
type Rule struct {
	// Policy is its namespace/name.
	Policy string
	v1alpha1.SlackApproval
}

// Place is where a card stands.
type Place struct {
	// Provider that posted it, as namespace/name: the clicks of its app decide, and those of no other.
	Provider string
	// Channel and Message in it.
	Channel, Message string
}

// Person is what Slack says of who clicked.
type Person struct {
	// Team that the person belongs to.
	Team string
	// Guest of one or more channels, Stranger from another organisation, Bot, or Gone.
	Guest, Stranger, Bot, Gone bool
}

// facts are all that a click is judged by. What is missing lets nobody.
type facts struct {
	// app, team and enterprise that the card was posted by and in; empty where the click came over another app.
	app, team, enterprise string
	// provider of the card, as namespace/name. platform says that it is the platform's own, which may vouch for the
	// people of every policy; another one speaks for the policies of its namespace.
	provider string
	platform bool
	// rollback that the card is about; nil if absent of that name.
	rollback *v1alpha1.Rollback
	// uid and asked are what the card carried; question is what is asked now, and open says that people still are.
	uid, asked, question string
	open                 bool
	// answer of the button.
	answer v1alpha1.Answer
	// places are where its cards stand.
	places []Place
	// rules of the policies, each of which has to let the person.
	rules []Rule
	// person and, for the groups that a rule names, whether the person is in them.
	person Person
	groups map[string]bool
}

// Result is what became of a click, as it is counted.
type Result string

// The results.
const (
	// Recorded counts.
	Recorded Result = "recorded"
	// Viewed opened a link, which decides nothing.
	Viewed Result = "viewed"
	// WrongApp, WrongTeam and WrongPlace come from elsewhere than our card in our workspace.
	WrongApp   Result = "wrong-app"
	WrongTeam  Result = "wrong-team"
	WrongPlace Result = "wrong-place"
	// Guest and NotListed are people who may not decide.
	Guest     Result = "guest"
	NotListed Result = "not-listed"
	// Stale answers another question, TooLate one that is answered or over, Gone one whose Rollback is gone.
	Stale   Result = "stale"
	TooLate Result = "too-late"
	Gone    Result = "gone"
	// Unsure is a click of which Slack or the API server would not say whether it may count.
	Unsure Result = "unsure"
	// Unrecorded may count and could not be recorded in time. It is not acknowledged.
	Unrecorded Result = "unrecorded"
	// Unknown is no button of ours, Unreadable no click.
	Unknown    Result = "unknown"
	Unreadable Result = "unreadable"
)

// refusal explains why a click does not count, to the person who clicked.
type refusal struct {
	result   Result
	sentence string
}

func refuse(r Result, format string, args ...any) *refusal {
	return &refusal{r, fmt.Sprintf(format, args...)}
}

// authorize judges a click. It is pure; nil lets the click count. It checks the card's origin first, then the person.
// Only a person who may decide is told what has become of the question.
func authorize(c Click, f facts) *refusal {
	for _, check := range []func(Click, *facts) *refusal{wrongOrigin, wrongCard, wrongPerson, notListed, wrongTime} {
		if no := check(c, &f); no != nil {
			return no
		}
	}
	return nil
}

func wrongOrigin(c Click, f *facts) *refusal {
	switch {
	case f.app == "" || c.App != f.app:
		return refuse(WrongApp, "This button is another Slack app's than the one that posted the card, or was heard over "+
			"another Provider's connection: nothing was recorded. Each cluster, and each tenant, has an app of its own.")
	case strings.HasPrefix(f.team, "E"):
		return refuse(WrongTeam, "Backstop's Slack app is installed for the whole organisation, so that clicks cannot be "+
			"held against one workspace: nothing was recorded. Install it in this workspace alone.")
	case !f.home(c.Team) && (c.Team != "" || !f.home(c.Enterprise)):
		return refuse(WrongTeam, "This button was pressed in another workspace than the one Backstop works in: "+
			"nothing was recorded.")
	}
	return nil
}

// home reports whether an ID is the workspace's, or the organisation's on an Enterprise Grid.
func (f *facts) home(id string) bool { return id != "" && (id == f.team || id == f.enterprise) }

func wrongCard(c Click, f *facts) *refusal {
	if f.rollback == nil || f.uid == "" || string(f.rollback.UID) != f.uid {
		return refuse(Gone, "The Rollback of this card is gone, or is another cluster's: nothing was recorded. "+
			"`backstop get rollbacks -A` lists those that there are.")
	}
	if _, ok := placeOf(c, f.places); !ok {
		return refuse(WrongPlace, "This is not where Backstop keeps the card of `%s`: nothing was recorded. "+
			"Use the card in the channel that the policy names.", plain(f.rollback.Name))
	}
	return nil
}

// placeOf finds the card that was clicked.
func placeOf(c Click, places []Place) (Place, bool) {
	i := slices.IndexFunc(places, func(p Place) bool { return p.Channel == c.Channel && p.Message == c.Message })
	if c.Channel == "" || c.Message == "" || i < 0 {
		return Place{}, false
	}
	return places[i], true
}

func wrongPerson(c Click, f *facts) *refusal {
	way := wayOut(f.rollback)
	switch p := f.person; {
	case !f.home(c.UserTeam) || !f.home(p.Team) || p.Stranger:
		return refuse(WrongTeam, "Only people of this workspace decide: nothing was recorded. %s", way)
	case p.Guest:
		return refuse(Guest, "Guests of this workspace do not decide: nothing was recorded. %s", way)
	case p.Bot || p.Gone || c.User == "":
		return refuse(NotListed, "Only people decide, not bots or deactivated accounts: nothing was recorded.")
	}
	return nil
}

func notListed(c Click, f *facts) *refusal {
	way := wayOut(f.rollback)
	if len(f.rules) == 0 {
		return refuse(NotListed, "No policy says who may decide on `%s`: nothing was recorded. %s",
			plain(f.rollback.Name), way)
	}
	for _, r := range f.rules {
		if !f.vouches(r) {
			return refuse(NotListed, "Policy `%s` is of another namespace than Provider `%s`, whose Slack app does not speak "+
				"for the people of that policy: nothing was recorded. %s", plain(r.Policy), plain(f.provider), way)
		}
		inGroup := slices.ContainsFunc(r.UserGroups, func(g string) bool { return f.groups[g] })
		if !r.ChannelMembers && !inGroup && !lists(r, c.User) {
			return refuse(NotListed, "You may not decide here: nothing was recorded. Policy `%s` %s. %s",
				plain(r.Policy), who(r), way)
		}
	}
	return nil
}

// vouches reports whether the card's Provider may say who clicked, for a policy. Whoever makes a Provider chooses the
// proxy and the certificates on its way to Slack, and can have it say anything: a tenant's Provider is not asked who is
// who for the policies of others.
func (f *facts) vouches(r Rule) bool {
	of, _, _ := strings.Cut(f.provider, "/")
	in, _, named := strings.Cut(r.Policy, "/")
	return f.platform || named && of != "" && of == in
}

func lists(r Rule, user string) bool { return slices.Contains(r.Users, user) }

// who reports whom a rule lets.
func who(r Rule) string {
	var names []string
	for _, u := range r.Users {
		names = append(names, "<@"+u+">")
	}
	for _, g := range r.UserGroups {
		names = append(names, "<!subteam^"+g+">")
	}
	if len(names) == 0 {
		return "lets nobody decide on Slack"
	}
	if n := len(names) - 10; n > 0 {
		names = append(names[:10], fmt.Sprintf("%d more", n))
	}
	return "lets " + strings.Join(names, ", ") + " decide"
}

func wrongTime(c Click, f *facts) *refusal {
	s := &f.rollback.Status
	if len(f.rollback.Answered()) > 0 || s.Verdict != nil {
		return tooLate(c, f)
	}
	if !f.open && s.Outcome != nil {
		return refuse(TooLate, "This has ended, %s (%s): nothing was recorded.", clock(s.Outcome.At.Time), s.Outcome.Result)
	}
	if !f.open || f.asked == "" || f.asked != f.question {
		return refuse(Stale, "What is asked has changed since this card was drawn: nothing was recorded. "+
			"Read the card as it is now, and decide on that.")
	}
	if !s.Question.Allows(f.answer) {
		return refuse(Stale, "That answer could not be carried out: nothing was recorded. %s", whyNot(s.Question))
	}
	return nil
}

// whyNot explains why an answer is not offered.
func whyNot(q *v1alpha1.Question) string {
	for _, d := range q.Doubts {
		if d.Type == v1alpha1.DoubtNotAdoptable {
			return plain(d.Message)
		}
	}
	return "Read the card as it is now, and decide on that."
}

// tooLate tells a person whose answer counts.
func tooLate(c Click, f *facts) *refusal {
	self, answers := f.by(c), f.rollback.Answered()
	if v := f.rollback.Status.Verdict; v != nil {
		answers = slices.DeleteFunc(slices.Clone(f.rollback.Spec.Decisions), func(d v1alpha1.Decision) bool {
			return d.Question != v.Question
		})
	}
	for _, d := range answers {
		if d.By == self {
			return refuse(TooLate, "You %s already, %s. An answer cannot be changed.", answered(d.Answer), clock(d.At.Time))
		}
	}
	first := v1alpha1.Decision{}
	if v := f.rollback.Status.Verdict; v != nil {
		first.By, first.Answer, first.At = v.By, v.Answer, v.At
	} else {
		first, _ = v1alpha1.FirstDecision(answers)
	}
	return refuse(TooLate, "%s %s already, %s: your click changes nothing.", mention(first.By), answered(first.Answer),
		clock(first.At.Time))
}

// by is who clicked, as a decision names people of Slack.
func (f *facts) by(c Click) string { return "slack:" + f.team + "/" + c.User }

func answered(a v1alpha1.Answer) string {
	if a == v1alpha1.Reject {
		return "rejected this"
	}
	return "approved this"
}

// mention names who decided: a person of Slack by his ID, which Slack shows as his name.
func mention(by string) string {
	if id, ok := strings.CutPrefix(by, "slack:"); ok {
		if _, user, ok := strings.Cut(id, "/"); ok && slackID(user) {
			return "<@" + user + ">"
		}
	}
	return "`" + plain(by) + "`"
}

func slackID(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// wayOut is how Kubernetes' own rights decide, without Slack.
func wayOut(r *v1alpha1.Rollback) string { return byHand(r.Namespace, r.Name) }

func byHand(namespace, name string) string {
	return fmt.Sprintf("With the rights in Kubernetes: `backstop approve %s -n %s`, or `reject`.",
		plain(name), plain(namespace))
}

// clock is a time that Slack shows in the reader's own zone.
func clock(t time.Time) string {
	return fmt.Sprintf("<!date^%d^{date_short_pretty} {time}|%s>", t.Unix(), t.UTC().Format("2006-01-02 15:04 UTC"))
}

// plain makes text harmless between backquotes.
func plain(s string) string {
	return slackutilsx.EscapeMessage(text.Cut(text.OneLine(strings.ReplaceAll(s, "`", "'")), 200))
}
