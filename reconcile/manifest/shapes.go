package manifest

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// The shapes in which manifests name images. Each looks at one mapping and claims the scalars in it that are nodes.

// claimsOf asks every shape; nil where none fits. The index is that of the fields.
func claimsOf(fields []entry, s spot) []claim {
	if s.mute {
		return nil
	}
	var claims []claim
	set := func(i int, c claim) {
		if claims == nil {
			claims = make([]claim, len(fields))
		}
		if i >= 0 && claims[i].part == "" {
			claims[i] = c
		}
	}
	switch {
	case s.item && isContainerList(s.key):
		claimContainer(fields, s, set)
	case s.item && (s.key == "images" || s.key == "imageTags"), !s.item && s.key == "imageTag":
		claimKustomizeImage(fields, s, set)
	case !s.item && s.key == "image":
		claimImageBlock(fields, s, set)
	case !s.item && s.key == "global":
		// Charts put it before the repositories of their images.
		if i := scalarAt(fields, "imageRegistry"); i >= 0 {
			set(i, claim{part: PartRegistry})
		}
	}
	claimHub(fields, s, set)
	claimBlocks(fields, s, set)
	claimPairs(fields, s, set)
	claimAbove(fields, s, set)
	claimImageKeys(fields, set)
	claimSharedTag(fields, s, set)
	if s.made {
		withoutPatterns(fields, claims)
	}
	return claims
}

// withoutPatterns takes back the claims of values that a policy fills in, or holds against others.
func withoutPatterns(fields []entry, claims []claim) {
	for i := range claims {
		if v := scalarText(resolve(fields[i].value)); !looksLikeImage("image", v) || strings.Contains(v, "{{") {
			claims[i] = claim{}
		}
	}
}

// claimImageBlock claims what stands below a key image.
func claimImageBlock(fields []entry, s spot, set func(int, claim)) {
	// A volume of type image is pulled like a container's, and operators mount such volumes under keys of their own.
	i := scalarAt(fields, "reference")
	if i >= 0 && (s.parent == "volumes" || looksLikeImage("image", textAt(fields, "reference"))) {
		set(i, claim{part: PartImage})
	}
	// Charts have words of their own for the whole.
	for _, key := range []string{"fullName", "fullname", "ref", "unifiedRepoTag"} {
		if i := scalarAt(fields, key); i >= 0 && looksLikeImage(key, textAt(fields, key)) {
			set(i, claim{part: PartImage})
		}
	}
}

// claimSharedTag claims one tag of all images of a chart, where no repository beside it has claimed it as its own.
func claimSharedTag(fields []entry, s spot, set func(int, claim)) {
	if i := scalarAt(fields, "imageTag"); i >= 0 && inValues(s) && scalarAt(fields, "image") < 0 &&
		scalarAt(fields, "imageName") < 0 {
		set(i, claim{part: PartTag})
	}
}

// claimImageKeys claims what looks like an image under a key that says so.
func claimImageKeys(fields []entry, set func(int, claim)) {
	for i, f := range fields {
		if isImageKey(f.key) && resolve(f.value).Kind == yaml.ScalarNode &&
			looksLikeImage(f.key, scalarText(resolve(f.value))) {
			set(i, claim{part: PartImage})
		}
	}
}

// claimHub claims the registry and the tag that several images of a chart share, whose names the chart knows:
//
//	hub: docker.io/istio
//	tag: 1.24.0
//
// A component with both of its own may name its image beside them.
func claimHub(fields []entry, s spot, set func(int, claim)) {
	hub, tag := scalarAt(fields, "hub"), scalarAt(fields, "tag")
	if hub < 0 || tag < 0 || !strings.ContainsAny(textAt(fields, "hub"), "./") {
		return
	}
	group := s.pointer + "/hub"
	set(hub, claim{part: PartRegistry, group: group})
	set(tag, claim{part: PartTag, group: group})
	if image := scalarAt(fields, "image"); image >= 0 && !strings.ContainsAny(textAt(fields, "image"), "/:@") {
		set(image, claim{part: PartRepository, group: group})
	}
}

// inValues reports whether a place is in the values of a HelmRelease, or in a file that may hold some.
func inValues(s spot) bool {
	_, way, _ := strings.Cut(s.pointer, "#")
	return s.object.Kind == "" || strings.Contains(way, "/values")
}

// claimContainer claims the image of a container, in any pod template of any kind.
func claimContainer(fields []entry, s spot, set func(int, claim)) {
	if i := scalarAt(fields, "image"); i >= 0 {
		set(i, claim{part: PartImage, container: textAt(fields, "name")})
	}
}

// claimKustomizeImage claims an entry of kustomize's images transformer, which kustomization files, Flux
// Kustomizations, the post-renderers of a HelmRelease and ImageTagTransformers share: newName or name, and newTag or
// digest or both, make the reference.
func claimKustomizeImage(fields []entry, s spot, set func(int, claim)) {
	name := textAt(fields, "name")
	if name == "" {
		return
	}
	for key, part := range map[string]Part{"newName": PartName, "newTag": PartTag, "digest": PartDigest} {
		if i := scalarAt(fields, key); i >= 0 {
			set(i, claim{part: part, group: s.pointer, container: name})
		}
	}
}

// isMute names kinds whose images nothing runs: what image automation watches, what Backstop itself wrote down, and the
// patterns of admission policies; what a policy of Kyverno adds to others is not among them.
func isMute(o Object) bool {
	group, _, _ := strings.Cut(o.APIVersion, "/")
	return group == "image.toolkit.fluxcd.io" || group == "backstop.dev" || group == "kyverno.io" ||
		strings.HasSuffix(group, ".kyverno.io") || strings.HasSuffix(group, ".gatekeeper.sh")
}

// isImageKey reports whether a key, wherever it stands, usually names a whole image.
func isImageKey(key string) bool {
	return key == "image" || key == "imageName" || strings.HasSuffix(key, "Image") ||
		strings.HasSuffix(key, "_image")
}

// looksLikeImage keeps pictures, titles and templates out of what such a key holds.
func looksLikeImage(key, value string) bool {
	if value == "" || len(value) > 1024 || strings.ContainsAny(value, " \t\n\"'<>()?*|\\,") ||
		strings.Contains(value, "://") {
		return false
	}
	if strings.HasPrefix(value, "/") || strings.HasPrefix(value, ".") {
		return false
	}
	_, tag, digest := Split(value)
	return tag != "" || digest != "" || key == "image" && strings.Contains(value, "/")
}
