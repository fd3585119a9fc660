package flux

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// maxWords is how much of another controller's message is told on, in runes.
const maxWords = 400

// A token in the URL of a GitRepository comes back in source-controller's errors.
var (
	httpUserinfo  = regexp.MustCompile(`(?i)(https?)://[^\s'"<>]*@`)
	otherPassword = regexp.MustCompile(`(?i)([a-z][a-z0-9+.-]*)://([^\s'"<>:/@]*):[^\s'"<>]*@`)
)

// tell makes words of another controller fit to be told: one line, not too long, no password of a URL in it.
func tell(words string) string {
	words = httpUserinfo.ReplaceAllString(words, "$1://[redacted]@")
	words = otherPassword.ReplaceAllString(words, "$1://$2:[redacted]@")
	words = strings.Join(strings.FieldsFunc(words, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	runes := []rune(words)
	if len(runes) <= maxWords {
		return words
	}
	return string(runes[:maxWords-1]) + "…"
}

// resume is the command that ends a suspension.
func resume(ref v1alpha1.ObjectRef) string {
	kind := map[string]string{
		kindGitRepository: "source git", kindOCIRepository: "source oci", kindBucket: "source bucket",
		kindKustomization: "kustomization", kindHelmRelease: "helmrelease", kindImageRepository: "image repository",
		kindPolicy: "image policy", kindAutomation: "image update",
	}[ref.Kind]
	return "flux -n " + ref.Namespace + " resume " + kind + " " + ref.Name
}

func unique(all ...string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}
