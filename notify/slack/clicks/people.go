package clicks

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/slack-go/slack"
)

const (
	// knownFor is how long it is believed that somebody does not decide: a guest, a stranger, a bot.
	knownFor = 5 * time.Minute
	// againAfter is how soon Slack is asked again who may decide: somebody who left, or was taken out of a group, decides
	// nothing more. The method for groups allows 20 requests a minute.
	againAfter = 10 * time.Second
)

// people remembers what Slack said of people and groups. An error is not remembered.
type people struct {
	api *slack.Client
	now func() time.Time

	mu      sync.Mutex
	persons map[string]known[Person]
	groups  map[string]known[[]string]
}

type known[T any] struct {
	what T
	at   time.Time
}

func newPeople(api *slack.Client, now func() time.Time) *people {
	return &people{api: api, now: now, persons: map[string]known[Person]{}, groups: map[string]known[[]string]{}}
}

// person asks who a user is.
func (p *people) person(ctx context.Context, id string) (Person, error) {
	p.mu.Lock()
	k, ok := p.persons[id]
	p.mu.Unlock()
	if age := p.now().Sub(k.at); ok && (age < againAfter || age < knownFor && !k.what.decides()) {
		return k.what, nil
	}
	u, err := p.api.GetUserInfoContext(ctx, id)
	if err != nil {
		return Person{}, err
	}
	who := Person{
		Team: u.TeamID, Guest: u.IsRestricted || u.IsUltraRestricted, Stranger: u.IsStranger, Bot: u.IsBot, Gone: u.Deleted,
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	remember(p.persons, id, known[Person]{who, p.now()})
	return who, nil
}

// decides reports whether a person is one of those who may be let.
func (p Person) decides() bool { return !p.Guest && !p.Stranger && !p.Bot && !p.Gone }

// member asks whether a user is in a group.
func (p *people) member(ctx context.Context, group, user string) (bool, error) {
	p.mu.Lock()
	k, ok := p.groups[group]
	p.mu.Unlock()
	if ok && p.now().Sub(k.at) < againAfter {
		return slices.Contains(k.what, user), nil
	}
	members, err := p.api.GetUserGroupMembersContext(ctx, group)
	if err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	remember(p.groups, group, known[[]string]{members, p.now()})
	return slices.Contains(members, user), nil
}

// maxKnown bounds what is remembered: whoever can press a button is remembered.
const maxKnown = 5000

func remember[T any](all map[string]known[T], id string, k known[T]) {
	if len(all) >= maxKnown {
		clear(all)
	}
	all[id] = k
}
