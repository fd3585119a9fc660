package image

import (
	"regexp"
	"strings"
)

// withheld is how a registry goes on that says that it does not have an image, and has it or may have it: for what the
// client accepts, for a policy or a scan, since it cannot ask whom it has it from, or since something of its own is not
// in order.
var withheld = regexp.MustCompile(`accept header does not support|quarantin|read-?only|\boffline\b|` +
	`\bupstream\b|blocked by|rejected by|curation|firewall|maintenance|garbage collect|` +
	`\bpolic(?:y|ies)\b|vulnerabilit|\bscan(?:s|ned|ning)?\b|replicat|synchroni[sz]|` +
	`\btry again\b|\btemporar(?:y|ily)\b|storage (?:backend|driver|error)|shut(?:ting)? down|\bdeprecated\b|` +
	`\bsubscription\b|\blicen[cs]e\b|past due|\bquota\b|` +
	`\b(?:paused|suspended|locked|disabled)\b|(?:is|was|has been|been) (?:archived|migrated|moved)`)

// Withholds reports whether what a registry says of an image that it does not have speaks of another reason than that
// it does not exist. Names are to be taken out before: anybody can choose them.
func Withholds(words string) bool { return withheld.MatchString(strings.ToLower(words)) }
