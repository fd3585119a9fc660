package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/internal/text"
)

// Level describes what a finding means for the change.
type Level string

// The levels.
const (
	// LevelError keeps a change from being merged.
	LevelError Level = "error"
	// LevelUnknown could not be told: no answer is not a bad answer.
	LevelUnknown Level = "unknown"
	// LevelNote describes what was not looked at; it changes nothing.
	LevelNote Level = "note"
)

// Rule names a kind of finding.
type Rule string

// The rules.
const (
	RuleMissing        Rule = "image-missing"
	RulePlatform       Rule = "platform-missing"
	RuleLayer          Rule = "layer-missing"
	RuleArtifact       Rule = "image-is-artifact"
	RuleInvalid        Rule = "image-invalid"
	RuleUnsigned       Rule = "image-unsigned"
	RuleNotAnswered    Rule = "registry-no-answer"
	RuleTag            Rule = "tag-not-allowed"
	RuleMutable        Rule = "tag-mutable"
	RuleTyped          Rule = "tag-not-text"
	RuleDigest         Rule = "digest-required"
	RuleRegistry       Rule = "registry-not-allowed"
	RulePromoted       Rule = "not-promoted"
	RulePolicyOther    Rule = "policy-accepts-other-environment"
	RulePolicyPattern  Rule = "policy-without-pattern"
	RuleMarkerUnknown  Rule = "marker-unknown-policy"
	RuleMarkerOther    Rule = "marker-other-environment"
	RuleMarkerImage    Rule = "marker-other-image"
	RuleMarkerMissed   Rule = "marker-not-written"
	RuleAutomation     Rule = "automation-covers-other-environment"
	RuleBuild          Rule = "kustomize-build"
	RuleObject         Rule = "object-invalid"
	RuleRemote         Rule = "remote-base"
	RuleNotBuilt       Rule = "not-built"
	RuleNotRead        Rule = "not-read"
	RuleNotRendered    Rule = "chart-not-rendered"
	RuleNotSubstituted Rule = "variable-unknown"
	RuleGlob           Rule = "path-matches-nothing"
	RuleKey            Rule = "key-missing"
	RuleEntry          Rule = "entry-matches-nothing"
	RuleNothing        Rule = "nothing-to-check"
	RuleLink           Rule = "link-not-followed"
)

// abouts are what the rules look for.
var abouts = map[Rule]string{
	RuleMissing:       "An image does not exist in its registry.",
	RulePlatform:      "An image does not exist for a platform that it has to run on.",
	RuleLayer:         "A layer or the configuration of an image is missing in its registry.",
	RuleArtifact:      "What an image names is in its registry, and is no container image.",
	RuleInvalid:       "A kubelet does not take an image reference.",
	RuleUnsigned:      "An image has no signature of the key that is required.",
	RuleNotAnswered:   "A registry did not answer, or not to this client.",
	RuleTag:           "A tag does not fit the pattern of its environment.",
	RuleMutable:       "A tag that can move is used where none may.",
	RuleTyped:         "A tag is a number or a truth value to YAML, and becomes another one.",
	RuleDigest:        "An image is not pinned by its digest where it must be.",
	RuleRegistry:      "An image comes from a registry that its environment does not allow.",
	RulePromoted:      "An image is not the very image that ran in the environment before.",
	RulePolicyOther:   "An ImagePolicy accepts tags of another environment.",
	RulePolicyPattern: "An ImagePolicy has no pattern where its environment needs one.",
	RuleMarkerUnknown: "A marker names an ImagePolicy that does not exist.",
	RuleMarkerOther:   "A marker names an ImagePolicy of another environment.",
	RuleMarkerImage:   "A marker names an ImagePolicy of another image.",
	RuleMarkerMissed:  "No image automation writes where a marker is.",
	RuleAutomation:    "An image automation writes to files of another environment.",
	RuleBuild:         "Kustomize cannot build what Flux is told to apply.",
	RuleObject:        "An object of Flux has a field of another type than its CRD wants.",
	RuleRemote:        "A kustomization refers to something outside of the repository.",
	RuleGlob:          "A path of .backstop.yaml matches nothing, so that it guards or hides nothing.",
	RuleKey:           "A HelmRelease takes values from a key that its ConfigMap does not have.",
	RuleEntry:         "An entry of images in a kustomization changes nothing.",
	RuleNothing:       "There is no manifest to look at, as in a wrong folder.",
}

// about describes what each rule looks for, for the formats that describe their rules.
func (r Rule) about() string { return cmp.Or(abouts[r], "Something was not looked at.") }

// Finding is what is wrong at a place, and what to do.
type Finding struct {
	Rule  Rule   `json:"rule"`
	Level Level  `json:"level"`
	File  string `json:"file"`
	Line  int    `json:"line"`
	// Image that the finding is about, and the environment whose guardrail it breaks; empty for none.
	Image       string `json:"image,omitempty"`
	Environment string `json:"environment,omitempty"`
	// Message describes what is wrong, Fix what to do.
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`

	// Subject keeps findings about the same thing together wherever it is; Message where it is empty.
	Subject string `json:"-"`
	// Unit is the folder that is not built, and Reason why, where one reason keeps many folders from being built.
	Unit   string `json:"-"`
	Reason string `json:"-"`
	// paths are those by which a finding is looked for beside its file, such as the folder that renders it: a list, made
	// one text so that findings can be compared.
	paths string
}

// By makes a finding one of these paths too.
func (f Finding) By(paths []string) Finding {
	f.paths = strings.Join(paths, "\x00")
	return f
}

// Places are the paths by which a finding is looked for.
func (f *Finding) Places() []string { return append(strings.Split(f.paths, "\x00"), f.File) }

// place is where a finding is, as editors take it; a folder has no line.
func (f *Finding) place() string {
	if f.Line == 0 {
		return text.Visible(f.File)
	}
	return text.Visible(fmt.Sprintf("%s:%d", f.File, f.Line))
}

// NoteAt is the note that a file or object cannot be read.
func NoteAt(file string, line int, err error) Finding {
	return Finding{Rule: RuleNotRead, Level: LevelNote, File: file, Line: line, Message: err.Error()}
}

// Print is the same for a finding wherever the file that it is in was moved to.
func (f *Finding) Print() string {
	subject := f.Subject
	if subject == "" {
		subject = strings.ReplaceAll(f.Message, f.File, "")
	}
	return fmt.Sprintf("%s\x00%s\x00%s\x00%s", f.Rule, f.Image, f.Environment, subject)
}

// SortFindings orders findings by place and leaves doubles out.
func SortFindings(list []Finding) []Finding {
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line,
			strings.Compare(string(a.Rule)+a.Image+a.Environment+a.Message, string(b.Rule)+b.Image+b.Environment+b.Message))
	})
	return joinUnits(slices.CompactFunc(list, func(a, b Finding) bool { return a.By(nil) == b.By(nil) }))
}

// joinUnits makes one finding of those that say the same of several folders.
func joinUnits(list []Finding) []Finding {
	out := list[:0:0]
	more := map[Finding]int{}
	at := map[Finding]int{}
	for _, f := range list {
		key := Finding{Rule: f.Rule, File: f.File, Line: f.Line, Reason: f.Reason}
		i, known := at[key]
		if f.Reason == "" || !known {
			at[key] = len(out)
			out = append(out, f)
			continue
		}
		if out[i].Unit != f.Unit {
			more[key]++
			out[i].Message = fmt.Sprintf("%s and %d more are not built: %s", out[i].Unit, more[key], f.Reason)
		}
	}
	return out
}
