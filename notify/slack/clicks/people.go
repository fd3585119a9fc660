package clicks

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/slack-go/slack"
)

const (
	// knownFor is how long what Slack said of people and groups is believed.
	knownFor = 5 * time.Minute
	// againAfter is how soon a group is asked for again because somebody was not found in it. The method allows 20
	// requests a minute.
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
	if ok && p.now().Sub(k.at) < knownFor {
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

// member asks whether a user is in a group. Who is not gets a fresh look, so that somebody who was just added need not
// wait.
func (p *people) member(ctx context.Context, group, user string) (bool, error) {
	p.mu.Lock()
	k, ok := p.groups[group]
	p.mu.Unlock()
	age := p.now().Sub(k.at)
	if ok && age < knownFor && (age < againAfter || slices.Contains(k.what, user)) {
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
