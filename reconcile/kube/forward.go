package kube

import (
	"encoding/json"
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// SetImage is one image of a pod template that is set.
type SetImage struct {
	// Container by its name, among the initContainers or not, and its index there.
	Container string
	Init      bool
	Index     int
	// From is the image that it must have, To the one that it gets.
	From, To string
}

type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// ImagePatch is a JSON patch that sets images of the pod template of one object. The API server refuses all of it where
// the object is another one by then, or a container has another name or image.
func ImagePatch(uid types.UID, images []SetImage) ([]byte, error) {
	ops := []operation{{"test", "/metadata/uid", string(uid)}}
	for _, i := range images {
		list := "containers"
		if i.Init {
			list = "initContainers"
		}
		at := "/spec/template/spec/" + list + "/" + strconv.Itoa(i.Index)
		ops = append(ops, operation{"test", at + "/name", i.Container}, operation{"test", at + "/image", i.From},
			operation{"replace", at + "/image", i.To})
	}
	out, err := json.Marshal(ops)
	if err != nil {
		return nil, fmt.Errorf("encode the patch: %w", err)
	}
	return out, nil
}

// DisownPatch is a JSON patch that takes the entries of a field manager out of an object's managedFields; nil where it
// has none. The fields stay as they are.
func DisownPatch(uid types.UID, entries []metav1.ManagedFieldsEntry, manager string) ([]byte, error) {
	ops := []operation{{"test", "/metadata/uid", string(uid)}}
	// From the last one on: each removal moves those behind it.
	for i := len(entries) - 1; i >= 0; i-- {
		if entries[i].Manager != manager {
			continue
		}
		at := "/metadata/managedFields/" + strconv.Itoa(i)
		ops = append(ops, operation{"test", at + "/manager", manager}, operation{Op: "remove", Path: at})
	}
	if len(ops) == 1 {
		return nil, nil
	}
	out, err := json.Marshal(ops)
	if err != nil {
		return nil, fmt.Errorf("encode the patch: %w", err)
	}
	return out, nil
}
