package slack

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/slack-go/slack"
	"sigs.k8s.io/yaml"
)

func TestTheManifestsAreSlackApps(t *testing.T) {
	for file, socket := range map[string]bool{"socket-mode.yaml": true, "http.yaml": false} {
		t.Run(file, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join("..", "..", "deploy", "slack", file))
			if err != nil {
				t.Fatal(err)
			}
			var m slack.Manifest
			if err := yaml.UnmarshalStrict(raw, &m); err != nil {
				t.Fatal(err)
			}
			if n := utf8.RuneCountInString(m.Display.Name); n == 0 || n > 35 {
				t.Errorf("the name has %d characters, Slack takes 35", n)
			}
			if n := utf8.RuneCountInString(m.Display.Description); n > 140 {
				t.Errorf("the description has %d characters, Slack takes 140", n)
			}
			// What the code asks for; connections:write belongs to the app-level token and is no bot's scope.
			for _, scope := range []string{"chat:write", "users:read", "usergroups:read", "channels:read", "groups:read"} {
				if !slices.Contains(m.OAuthConfig.Scopes.Bot, scope) {
					t.Errorf("the scope %s is missing", scope)
				}
			}
			if slices.Contains(m.OAuthConfig.Scopes.Bot, "connections:write") {
				t.Error("connections:write is no bot's scope")
			}
			s := m.Settings
			if s.Interactivity == nil || !s.Interactivity.IsEnabled || s.SocketModeEnabled != socket || s.TokenRotationEnabled {
				t.Errorf("the settings are %+v", s)
			}
			if url := s.Interactivity.RequestUrl; (url == "") != socket || !socket && !strings.HasSuffix(url, "/slack/interactivity") {
				t.Errorf("the request URL is %q", url)
			}
		})
	}
}
