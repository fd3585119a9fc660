package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/reconcile/kube"
)

// printObject writes what a script reads.
func printObject(out io.Writer, format string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err == nil && format == "yaml" {
		data, err = yaml.JSONToYAML(escaped(data))
	}
	if err != nil {
		return fmt.Errorf("print as %s: %w", format, err)
	}
	switch format {
	case "json":
		data = append(escaped(data), '\n')
	case "yaml":
		data = visible(data)
	}
	_, err = raw(out).Write(data)
	return err
}

// printList writes objects as kubectl does: a List, without what only the API server keeps.
func printList[T any](out io.Writer, format string, items []T) error {
	scheme, err := kube.Scheme()
	if err != nil {
		return err
	}
	for _, item := range items {
		if o, ok := any(item).(client.Object); ok {
			o.SetManagedFields(nil)
			gvk, err := apiutil.GVKForObject(o, scheme)
			if err != nil {
				return fmt.Errorf("print %s: %w", o.GetName(), err)
			}
			o.GetObjectKind().SetGroupVersionKind(gvk)
		}
	}
	if items == nil {
		items = []T{}
	}
	return printObject(out, format, struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Items      []T    `json:"items"`
	}{"v1", "List", items})
}

// colours reports whether to colour: on a terminal that does not ask for none (no-color.org).
func colours(out io.Writer) bool {
	f, ok := raw(out).(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}
