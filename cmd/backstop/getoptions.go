package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

type getOptions struct {
	cluster
	all, watch bool
	output     string
	// names are the objects that are asked for; none asks for all.
	names []string
}

// parse reads what kubectl's users type: KIND, KIND NAME..., KIND/NAME.
func (o *getOptions) parse(args []string) (string, error) {
	if err := checkOutput(o.output); err != nil {
		return "", err
	}
	if o.watch && (o.output == "json" || o.output == "yaml") {
		return "", badUsage("--watch prints for people: leave -o %[1]s out, or use kubectl get -w -o %[1]s", o.output)
	}
	if len(args) == 0 {
		return "rollbacks", nil
	}
	kind, name, slash := strings.Cut(args[0], "/")
	o.names = args[1:]
	if slash {
		o.names = append([]string{name}, o.names...)
	}
	what, ok := gettable[ungrouped(kind)]
	switch {
	case !ok:
		return "", badUsage("get %s: want rollbacks, policies, holds, drift or events", kind)
	case slices.Contains(o.names, ""):
		return "", badUsage("get %s: the name after the slash is missing", args[0])
	case len(o.names) > 0 && (what == "drift" || what == "events"):
		return "", badUsage("get %s takes no names", what)
	case len(o.names) > 0 && o.all:
		return "", badUsage("a name is of one namespace: give -n NAMESPACE instead of --all-namespaces")
	}
	return what, nil
}

// ungrouped is a kind as people type it, without the group that kubectl prints with -o name.
func ungrouped(kind string) string {
	kind, group, _ := strings.Cut(strings.ToLower(kind), ".")
	if group == "" || strings.TrimPrefix(group, v1alpha1.GroupVersion.Version+".") == v1alpha1.GroupVersion.Group {
		return kind
	}
	return kind + "." + group
}

// gettable are the things that get lists, by the names that people type.
var gettable = map[string]string{
	"rollbacks": "rollbacks", "rollback": "rollbacks", "rb": "rollbacks",
	"policies": "policies", "policy": "policies", "rbp": "policies",
	"rollbackpolicies": "policies", "rollbackpolicy": "policies",
	"holds": "holds", "hold": "holds",
	"drift": "drift", "drifts": "drift",
	"events": "events", "event": "events", "ev": "events",
}

func checkOutput(o string) error {
	if !slices.Contains([]string{"", "wide", "json", "yaml"}, o) {
		return badUsage("output %q: want json, yaml or wide", o)
	}
	return nil
}

// nothing reports that there is nothing, or that the namespace is not there, which looks the same in a list.
func nothing(ctx context.Context, std streams, cl client.Reader, ns string) error {
	if ns == "" {
		fmt.Fprintln(std.err, "Nothing found.")
		return nil
	}
	// Who may not read the namespace is told what the list says.
	if err := noNamespace(ctx, cl, ns); err != nil {
		return err
	}
	fmt.Fprintf(std.err, "Nothing found in namespace %s.\n", ns)
	return nil
}
