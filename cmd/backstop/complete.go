package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/workload"
)

// completeWithin is how long a shell waits for names from the cluster.
const completeWithin = 2 * time.Second

// completeFlag gives a flag the names that it may have.
func completeFlag(cmd *cobra.Command, flag string, names func(context.Context) []string) {
	err := cmd.RegisterFlagCompletionFunc(flag,
		func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
			defer cancel()
			return names(ctx), cobra.ShellCompDirectiveNoFileComp
		})
	if err != nil {
		panic(err) // the flag is not defined, which every test of a command sees
	}
}

// contexts are those of the kubeconfig.
func (c *cluster) contexts(context.Context) []string {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	config, err := rules.Load()
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(config.Contexts))
}

// namespaces are those that the user may list.
func (c *cluster) namespaces(ctx context.Context) []string {
	var list corev1.NamespaceList
	return c.names(ctx, &list, "")
}

// rollbacks are the names of the namespace's Rollbacks.
func (c *cluster) rollbacks(ctx context.Context) []string {
	return c.names(ctx, &v1alpha1.RollbackList{}, c.namespace)
}

// names lists objects by name. What cannot be asked has no names: a shell has nowhere to print why.
func (c *cluster) names(ctx context.Context, list client.ObjectList, namespace string) []string {
	cl, ns, err := c.client()
	if err != nil {
		return nil
	}
	if _, cluster := list.(*corev1.NamespaceList); !cluster {
		namespace = cmp.Or(namespace, ns)
	}
	if cl.List(ctx, list, client.InNamespace(namespace)) != nil {
		return nil
	}
	objects, err := objectsOf(list)
	if err != nil {
		return nil
	}
	var out []string
	for _, o := range objects {
		out = append(out, o.GetName())
	}
	return out
}

type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// completeRollback completes the one name that a command takes: NAME, rollback/NAME or rollback NAME.
func completeRollback(c *cluster) completion {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
		defer cancel()
		kind, _, slash := strings.Cut(typed, "/")
		switch {
		case len(args) == 0 && slash && gettable[ungrouped(kind)] == "rollbacks":
			return behind(kind, c.rollbacks(ctx)), cobra.ShellCompDirectiveNoFileComp
		case len(args) == 0, len(args) == 1 && gettable[ungrouped(args[0])] == "rollbacks":
			return c.rollbacks(ctx), cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// behind puts names behind their kind and a slash.
func behind(kind string, names []string) []string {
	out := make([]string, 0, len(names))
	for _, name := range names {
		out = append(out, kind+"/"+name)
	}
	return out
}

// completeWorkload completes KIND/NAME and KIND NAME, with the kinds as kubectl prints them.
func completeWorkload(c *cluster) completion {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
		defer cancel()
		word, _, _ := strings.Cut(typed, "/")
		only, known := workload.Named(word)
		if len(args) == 1 {
			only, known = workload.Named(args[0])
		}
		if len(args) > 1 || len(args) == 1 && !known {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		cl, ns, err := c.client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for _, k := range workload.Own() {
			if known && k.Kind != only.Kind {
				continue
			}
			found, err := k.List(ctx, cl, cmp.Or(c.namespace, ns))
			if err != nil {
				continue // the kinds that may be read are offered
			}
			for i := range found {
				switch name := found[i].Object.GetName(); {
				case len(args) == 1:
					out = append(out, name)
				case known:
					out = append(out, word+"/"+name)
				default:
					out = append(out, strings.ToLower(k.Kind)+"/"+name)
				}
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// outputs are the formats that a command prints.
func outputs(formats ...string) func(context.Context) []string {
	return func(context.Context) []string { return formats }
}

// completeGet completes what to list, then names.
func completeGet(c *cluster) completion {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
		defer cancel()
		kind, _, slash := strings.Cut(typed, "/")
		switch {
		case len(args) == 0 && slash:
			return behind(kind, c.listed(ctx, kind)), cobra.ShellCompDirectiveNoFileComp
		case len(args) == 0:
			return []string{"rollbacks", "policies", "holds", "drift", "events"}, cobra.ShellCompDirectiveNoFileComp
		}
		return c.listed(ctx, args[0]), cobra.ShellCompDirectiveNoFileComp
	}
}

// listed are the names of what get lists by a word.
func (c *cluster) listed(ctx context.Context, word string) []string {
	switch gettable[strings.ToLower(word)] {
	case "rollbacks", "holds":
		return c.rollbacks(ctx)
	case "policies":
		return c.names(ctx, &v1alpha1.RollbackPolicyList{}, c.namespace)
	}
	return nil
}

func (c *cluster) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&c.kubeconfig, "kubeconfig", "",
		"path to the kubeconfig (default: KUBECONFIG, ~/.kube/config, or the pod's)")
	flags.StringVar(&c.context, "context", "", "context in the kubeconfig")
	flags.StringVarP(&c.namespace, "namespace", "n", "", "namespace (default: the context's)")
	flags.StringVar(&c.as.UserName, "as", "", "user to act as, such as system:serviceaccount:NAMESPACE:NAME")
	flags.StringArrayVar(&c.as.Groups, "as-group", nil, "group to act as, with --as; may be given several times")
	completeFlag(cmd, "context", c.contexts)
	completeFlag(cmd, "namespace", c.namespaces)
}
