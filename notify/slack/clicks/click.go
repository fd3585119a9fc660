package clicks

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Click is one press of a button, as Slack tells it. Slack vouches for who pressed and where; Value is what a card
// carried, and is data.
type Click struct {
	// App, Team and Enterprise say which app in which workspace.
	App, Team, Enterprise string
	// User who pressed, and the workspace or organisation that he belongs to.
	User, UserTeam string
	// Channel and Message of the button; Thread where the message is in one.
	Channel, Message, Thread string
	// Action is the button, Value what it carried, At Slack's time of the press.
	Action, Value, At string
}

var errNoPress = errors.New("no press of a button")

// parse reads the few fields that count, so that nothing else in a message can spoil a click.
func parse(payload []byte) (Click, error) {
	type id struct {
		ID string `json:"id"`
	}
	var p struct {
		Type       string `json:"type"`
		APIAppID   string `json:"api_app_id"`
		Team       id     `json:"team"`
		Enterprise id     `json:"enterprise"`
		User       struct {
			id
			TeamID string `json:"team_id"`
		} `json:"user"`
		Container struct {
			ChannelID string `json:"channel_id"`
			MessageTS string `json:"message_ts"`
			ThreadTS  string `json:"thread_ts"`
		} `json:"container"`
		Actions []struct {
			ActionID string `json:"action_id"`
			Value    string `json:"value"`
			ActionTS string `json:"action_ts"`
		} `json:"actions"`
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return Click{}, fmt.Errorf("read the payload: %w", err)
	}
	if p.Type != "block_actions" || len(p.Actions) == 0 {
		return Click{}, errNoPress
	}
	a := p.Actions[0]
	return Click{
		App: p.APIAppID, Team: p.Team.ID, Enterprise: p.Enterprise.ID, User: p.User.ID, UserTeam: p.User.TeamID,
		Channel: p.Container.ChannelID, Message: p.Container.MessageTS, Thread: p.Container.ThreadTS,
		Action: a.ActionID, Value: a.Value, At: a.ActionTS,
	}, nil
}
