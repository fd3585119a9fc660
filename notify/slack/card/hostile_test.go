package card

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// ours are the only things in angle brackets that a card writes itself.
var ours = regexp.MustCompile(`<(!date\^-?\d+\^[^<>|]+\|[^<>]+|@[UW][A-Z0-9]+|!subteam\^S[A-Z0-9]+|https?://[^<>|\s]+\|` + "(?:`[0-9a-f]+`|pull request [0-9]+)" + `)>`)

// markup gives every text of a card in which Slack parses anything.
func markup(c Card) []string {
	out := []string{c.Text}
	for _, b := range c.Blocks {
		switch b := b.(type) {
		case *slack.SectionBlock:
			if b.Text != nil {
				out = append(out, b.Text.Text)
			}
			for _, f := range b.Fields {
				out = append(out, f.Text)
			}
		case *slack.ContextBlock:
			for _, e := range b.ContextElements.Elements {
				if t, ok := e.(*slack.TextBlockObject); ok {
					out = append(out, t.Text)
				}
			}
		}
	}
	return out
}

// faults describes what is wrong with a card, whatever it was made of.
func faults(c Card) error {
	if err := Validate(c); err != nil {
		return err
	}
	raw, err := json.Marshal(c.Blocks)
	if err != nil {
		return err
	}
	if said := slackstub.Validate(raw); len(said) > 0 {
		return fmt.Errorf("the stand-in refuses it: %q", said)
	}
	for _, s := range markup(c) {
		rest := ours.ReplaceAllString(s, "")
		if strings.ContainsAny(rest, "<>") {
			return fmt.Errorf("an angle bracket is not escaped in %q", s)
		}
		rest = strings.NewReplacer("&amp;", "", "&lt;", "", "&gt;", "").Replace(rest)
		if strings.Contains(rest, "&") {
			return fmt.Errorf("an ampersand is not escaped, or an escape was cut, in %q", s)
		}
		if strings.Count(s, "`")%2 != 0 {
			return fmt.Errorf("a backtick is left open in %q", s)
		}
		if !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\x1b\u202a\u202b\u202d\u202e\u2066\u2067\u200e\u200f\u061c\ufeff") {
			return fmt.Errorf("characters that reorder or hide text in %q", s)
		}
	}
	return nil
}

// with puts one text into every place of a Rollback that text from outside can reach.
func with(r *v1alpha1.Rollback, text string) *v1alpha1.Rollback {
	s := &r.Status
	for i := range s.Failures {
		f := &s.Failures[i]
		f.Message, f.Container, f.Workload.Name = text, text, text
		if p := f.Pull; p != nil {
			p.Pod, p.Platform = text, text
		}
		if d := f.Drift; d != nil {
			d.Live, d.By, d.From, d.To, d.Undone = text, text, text, text, text
		}
		if o := f.Rollout; o != nil {
			o.Former, o.FormerImage, o.Reason, o.Pod, o.Platform = text, text, text, text, text
			o.Nodes, o.Doubts = []string{text, text}, []v1alpha1.RolloutDoubt{{Message: text}}
			o.Changed = []v1alpha1.TemplateChange{{Container: text, Part: v1alpha1.TemplatePart(text), Name: text}}
		}
		if a := f.Apply; a != nil {
			a.Reason, a.Revision, a.LastApplied = text, text, text
			a.Object = &v1alpha1.ObjectRef{Kind: text, Namespace: text, Name: text}
			a.ChangedBy = []v1alpha1.RelatedCommit{{Commit: text, Subject: text, Author: text}, {Commit: text, Subject: text}}
			if a.Unblamed != "" {
				a.Unblamed = text
			}
		}
	}
	if found := s.Search; found != nil {
		found.ChangedBy, found.Unblamed = []v1alpha1.RelatedCommit{{Commit: text, Subject: text}, {Commit: text, Subject: text}}, text
	}
	if t := s.Target; t != nil && t.Refused != nil {
		t.Refused.Message = text
	}
	if t := s.Target; t != nil && t.Also != nil {
		t.Also = []v1alpha1.ObjectRef{{Kind: text, Namespace: text, Name: text}}
	}
	if m := s.Remediated; m != nil {
		m.Release.Name, m.Message = text, text
	}
	if r.Spec.Subject.Kind == v1alpha1.KindImage {
		r.Spec.Subject = v1alpha1.ImageSubject(text)
	}
	r.Spec.Subject.Name = text
	for i := range r.Spec.Decisions {
		r.Spec.Decisions[i].Reason = text
	}
	if q := s.Suspect; q != nil {
		q.Subject, q.Author, q.Branch, q.Commit, q.Source.Name = text, text, text, text, text
		q.OnlyImages, q.OtherImages = false, []string{text, text, text, text, text, text, text}
		q.Stays = []v1alpha1.MarkedValue{{File: text, Pointer: text, Value: text, Marker: text}}
		q.SharedBy = []v1alpha1.ObjectRef{{Kind: text, Name: text}}
		for i := range q.Places {
			q.Places[i].File, q.Places[i].Bad = text, text
		}
	}
	if s.Target != nil {
		s.Target.Image, s.Target.Proof = text+"1", text
	}
	if s.Verdict != nil {
		s.Verdict.Why = text
	}
	if w := s.Waiting; w != nil {
		w.Why = text
	}
	if s.Question != nil {
		s.Question.Doubts = slices.Repeat([]v1alpha1.Doubt{{Message: text}}, 7)
	}
	if pr := s.PullRequest; pr != nil {
		pr.By, pr.URL, pr.Because = text, "https://git.example/"+text, text
		pr.WaitsFor = []v1alpha1.PullRequestWait{{Kind: v1alpha1.WaitsForCheck, Name: text}}
		if pr.Foreign != "" {
			pr.Foreign = text
		}
	}
	if c := s.Change; c != nil {
		c.Branch, c.Policies, c.By, c.Commit = text, []string{text, text}, text, text
	}
	if s.Outcome != nil {
		s.Outcome.Message = text
	}
	if s.Lifted != nil {
		s.Lifted.By = text
	}
	return r
}

func hostileFacts(f Facts, text string) Facts {
	f.Rollback = with(f.Rollback, text)
	f.Cluster, f.Budget = text, text
	f.Policies = []Policy{{Name: text, Approvers: v1alpha1.SlackApproval{Users: []string{text, "U0JANE"}, UserGroups: []string{text}}}, {Name: text}}
	f.Links = Links{Repository: "https://github.com/" + text, Template: ""}
	return f
}

func TestHostileCommitSubjectPingsNobody(t *testing.T) {
	const subject = "<!channel> <@U0BOSS> <!subteam^S0ALL> <https://evil.example|reset your password> *bold* _it_ ~s~ `code` & &lt;!here&gt; @here #general"
	for name, f := range states() {
		f := hostileFacts(f, subject)
		c := Of(f)
		if err := faults(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		m := slackstub.Message{Text: c.Text}
		m.Blocks, _ = json.Marshal(c.Blocks)
		for _, p := range m.Pings() {
			if p != "U0JANE" && p != "@U0JANE" && p != "<@U0JANE>" {
				t.Errorf("%s: %s is called", name, p)
			}
		}
	}
	f := facts(rollback(failures, target, asks(policyAsks)))
	f.Rollback.Status.Suspect.Subject = subject
	golden(t, "hostile-subject", Of(f))
}

func Test5000CharacterKubeletMessage(t *testing.T) {
	long := strings.Repeat("failed to pull 漢字 & <image> ", 200)
	if utf8.RuneCountInString(long) < 5000 {
		t.Fatalf("only %d characters", utf8.RuneCountInString(long))
	}
	r := rollback(failures, target, asks(policyAsks))
	r.Status.Failures[0].Message = long
	c := Of(facts(r))
	if err := faults(c); err != nil {
		t.Error(err)
	}
	golden(t, "kubelet-5000", c)
	for name, f := range states() {
		if err := faults(Of(hostileFacts(f, long))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRightToLeftAndEmojiNames(t *testing.T) {
	r := rollback(failures, target, asks(policyAsks))
	r.Status.Suspect.Author = "\u202eدانيال العتيبي\u202c 👩‍🚀"
	r.Status.Suspect.Subject = "עדכון תמונות \u2067abc\u2069 🏴‍☠️ done\u200b"
	c := Of(facts(r))
	if err := faults(c); err != nil {
		t.Error(err)
	}
	golden(t, "right-to-left-emoji", c)
	all := strings.Join(markup(c), "\n")
	for _, want := range []string{"\u2068دانيال العتيبي 👩‍🚀\u2069", "\u2068עדכון תמונות abc 🏴‍☠️ done\u2069"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not isolated and whole in\n%s", want, all)
		}
	}
}

func TestTheWorstInput(t *testing.T) {
	r := rollback(failures, target, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve), requested,
		ends(v1alpha1.ResultFailed, "x"))
	for i := range 50 {
		f := r.Status.Failures[0]
		f.Workload.Name = fmt.Sprintf("app-%d-%s", i, strings.Repeat("n", 200))
		r.Status.Failures = append(r.Status.Failures, f)
	}
	for range 64 {
		r.Status.Suspect.Places = append(r.Status.Suspect.Places, r.Status.Suspect.Places[0])
	}
	f := hostileFacts(facts(r), strings.Repeat("&<>`*\u202e👩‍🚀ع\n", 300))
	f.Rollback.Name, f.Rollback.Namespace = strings.Repeat("r", 253), strings.Repeat("n", 63)
	for range 20 {
		f.Policies = append(f.Policies, Policy{Name: "p", Approvers: v1alpha1.SlackApproval{Users: make([]string, 100)}})
	}
	c := Of(f)
	if err := faults(c); err != nil {
		t.Error(err)
	}
	golden(t, "worst", c)
}

func FuzzOf(f *testing.F) {
	for _, s := range []string{"", "v1", "<!channel>", "`*_~`", "&amp;", "\u202eabc", "👩‍🚀", "\xff\xfe", "a\x00b", strings.Repeat("<", 4000)} {
		for i := range 4 {
			f.Add(s, s, uint(i))
		}
	}
	names := slices.Sorted(maps.Keys(states()))
	f.Fuzz(func(t *testing.T, a, b string, n uint) {
		facts := hostileFacts(states()[names[n%uint(len(names))]], a)
		if s := facts.Rollback.Status.Suspect; s != nil {
			s.Subject, s.Author = b, b
		}
		if err := faults(Of(facts)); err != nil {
			t.Fatal(err)
		}
		if err := noteFaults(facts.Rollback); err != nil {
			t.Fatal(err)
		}
		if err := faults(Digest(a, []*v1alpha1.Rollback{facts.Rollback, facts.Rollback})); err != nil {
			t.Fatal(err)
		}
	})
}

// noteFaults looks at what the thread is told of a Rollback that came out of nothing.
func noteFaults(r *v1alpha1.Rollback) error {
	text, _, ok := Note(&v1alpha1.Rollback{ObjectMeta: r.ObjectMeta, Spec: r.Spec}, r)
	if !ok {
		return nil
	}
	return faults(Card{Text: text, Blocks: []slack.Block{section(text)}})
}

// BenchmarkAThousandCards renders the cards of a thousand open Rollbacks, as JSON.
func BenchmarkAThousandCards(b *testing.B) {
	all := make([]Facts, 1000)
	for i := range all {
		r := rollback(failures, target, asks(policyAsks))
		r.Name = fmt.Sprintf("shop-api-%d-1", i)
		r.Status.Failures[0].Workload.Name = fmt.Sprintf("shop-api-%d", i)
		all[i] = facts(r)
	}
	took := make([]time.Duration, 0, len(all))
	for b.Loop() {
		took = took[:0]
		for _, f := range all {
			start := time.Now()
			if _, err := json.Marshal(Of(f).Blocks); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(start))
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-median/card")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99/card")
}

// Rendering a card and its JSON takes less than a millisecond, so that a thousand are no pause.
func TestRenderingIsQuick(t *testing.T) {
	f := facts(rollback(failures, target, asks(policyAsks)))
	best := time.Hour
	for range 50 {
		start := time.Now()
		c := Of(f)
		if _, err := json.Marshal(c.Blocks); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	if best > time.Millisecond {
		t.Errorf("%v", best)
	}
}
