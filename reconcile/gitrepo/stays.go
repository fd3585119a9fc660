package gitrepo

import (
	"bytes"
	"slices"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// maxStays is how many values a Suspect names that stay.
const maxStays = 4

// stays lists what says the version of a suspect's image behind a marker of the same policies and is no part of it,
// such as the version of the chart that image automation wrote by the same decision. It does not go back with the
// image, and nobody can tell here whether it should.
func (h *history) stays(at *located, s v1alpha1.Suspect) ([]v1alpha1.MarkedValue, error) {
	var markers []string
	for _, n := range s.Places {
		if n.Marker != "" {
			add(&markers, n.Marker)
		}
	}
	_, tag, _ := manifest.Split(s.Image)
	if len(markers) == 0 || tag == "" {
		return nil, nil
	}
	of := map[string]bool{}
	for _, n := range slices.Concat(slices.Concat(at.images...)...) {
		of[n.File+"\x00"+n.Pointer] = true
	}
	speaks := func(data []byte) bool {
		return bytes.Contains(data, []byte(tag)) && slices.ContainsFunc(markers, func(m string) bool {
			return bytes.Contains(data, []byte(m))
		})
	}
	var out []v1alpha1.MarkedValue
	for _, file := range at.files {
		// A file that cannot be read was named where the image was looked for.
		nodes, _, err := h.mention(at.commit.Tree, file, speaks)
		if err != nil {
			return nil, err
		}
		for _, n := range nodes {
			if n.Value != tag || !slices.Contains(markers, n.Policy) || of[n.File+"\x00"+n.Pointer] || ofImage(nodes, n) {
				continue
			}
			if out = append(out, v1alpha1.MarkedValue{
				File: n.File, Pointer: n.Pointer, Value: n.Value, Marker: n.Policy,
			}); len(out) == maxStays {
				return out, nil
			}
		}
	}
	return out, nil
}

// ofImage reports whether a node makes an image together with its neighbours: then it is one of another place, of which
// the suspect tells by itself.
func ofImage(nodes []manifest.Node, n manifest.Node) bool {
	var beside []manifest.Node
	for _, o := range nodes {
		if o.Group == n.Group {
			beside = append(beside, o)
		}
	}
	_, ok := manifest.Reference(beside, "")
	return ok
}
