package card

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestNoCardSaysASentenceTwice(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.golden.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d cards: %v", len(files), err)
	}
	label := regexp.MustCompile(`^(\S+ )?\*[^*]+\* |^• `)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(file) == "worst.golden.json" {
			continue // it says the same everywhere
		}
		var card struct{ Blocks any }
		if err := json.Unmarshal(data, &card); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		var lines []string
		for _, text := range texts(card.Blocks) {
			for line := range strings.Lines(text) {
				lines = append(lines, strings.TrimSpace(label.ReplaceAllString(line, "")))
			}
		}
		for i, line := range lines {
			for j, other := range lines {
				// A time is no sentence.
				if i != j && len(line) > 40 && strings.Contains(other, line) && !strings.HasPrefix(line, "<!date") {
					t.Errorf("%s says twice %q", filepath.Base(file), line)
				}
			}
		}
	}
}

// texts are what a card's blocks say.
func texts(v any) []string {
	var out []string
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			out = append(out, texts(e)...)
		}
	case map[string]any:
		if v["type"] == "header" {
			return nil // a title may be what the record says in full
		}
		if s, ok := v["text"].(string); ok {
			return []string{s}
		}
		for key, e := range v {
			if key != "confirm" {
				out = append(out, texts(e)...)
			}
		}
	}
	return out
}
