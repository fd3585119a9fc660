package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/reconcile/kube"
)

// structured refuses an output that is for neither people nor scripts.
func structured(output string) error {
	if !slices.Contains([]string{"", "json", "yaml"}, output) {
		return badUsage("output %q: want json or yaml", output)
	}
	return nil
}

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

// printOne writes the one object that was asked for by its name, as kubectl does.
func printOne(out io.Writer, format string, o client.Object) error {
	scheme, err := kube.Scheme()
	if err == nil {
		err = complete(o, scheme)
	}
	if err != nil {
		return err
	}
	return printObject(out, format, o)
}

// complete gives an object its kind, and takes what only the API server keeps.
func complete(o client.Object, scheme *runtime.Scheme) error {
	o.SetManagedFields(nil)
	gvk, err := apiutil.GVKForObject(o, scheme)
	if err != nil {
		return fmt.Errorf("print %s: %w", o.GetName(), err)
	}
	o.GetObjectKind().SetGroupVersionKind(gvk)
	return nil
}

// printList writes objects as kubectl does: a List, without what only the API server keeps.
func printList[T any](out io.Writer, format string, items []T) error {
	scheme, err := kube.Scheme()
	if err != nil {
		return err
	}
	for _, item := range items {
		if o, ok := any(item).(client.Object); ok {
			if err := complete(o, scheme); err != nil {
				return err
			}
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
