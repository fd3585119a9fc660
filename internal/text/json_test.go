package text

import (
	"strings"
	"testing"
)

func TestHeavy(t *testing.T) {
	for json, want := range map[string]bool{
		``:                                     false,
		`{}`:                                   false,
		`[{},{}]`:                              false,
		`[{},{},{}]`:                           true,
		`[[[[[[[[[[[`:                          true,
		`[0,0,0,0,0,0,0,0,0,0,0,0]`:            true,
		`{"a":"{{{{{{,,,,,,,,,,,[[[[[[[["}`:    false,
		`{"a":"\"{{{{{{,,,,,,,,,,,[[[[[[[["}`:  false,
		`{"a":"\\","b":"","c":{},"d":{}}`:      true,
		`{"a":"\\\\\"{{{{{{{{{{{{{{{{{{{{{{"}`: false,
		strings.Repeat(` `, 100):               false,
	} {
		if got := Heavy([]byte(json), 2, 10); got != want {
			t.Errorf("%s: %v", json, got)
		}
	}
}
