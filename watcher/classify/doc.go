// Package classify reads the kubelet's words about a container that waits for
// an image and explains why the image could not be pulled. It is pure.
//
// The words come from four places that each add to the sentence, and the image's
// own name, which anyone can choose, stands in the middle of them:
//
//	kubelet      Back-off pulling image "app:v9": ErrImagePull:
//	  runtime      failed to pull and unpack image "app:v9": failed to resolve reference "app:v9":
//	    registry     unexpected status from HEAD request to https://…/manifests/v9:
//	      network       503 Service Unavailable
//
// So names are taken out first: everything in quotes, every word that looks like
// a reference or a URL, and the bare tags and repositories of the known sentences.
// What is left is matched against the phrases in rules.go. A phrase that is looked
// for anywhere has a space in it, which no reference can hold; a single word
// counts only where it stands between colons.
//
// In doubt the cause is Unknown: a false blame is worse than a missed one. Words
// that speak for the image's own fault and for another cause at once are in doubt,
// and so is what an older kubelet reports when it backs off without repeating the error.
// "Repository does not exist or may require authorization" is how a registry refuses,
// not how it says that something is missing: Unauthorized.
package classify
