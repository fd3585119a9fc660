package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
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

// completeRollback completes the one name that a command takes.
func completeRollback(c *cluster) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
		defer cancel()
		return c.rollbacks(ctx), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeGet completes what to list, then names.
func completeGet(c *cluster) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
		defer cancel()
		switch {
		case len(args) == 0:
			return []string{"rollbacks", "policies", "holds", "drift", "events"}, cobra.ShellCompDirectiveNoFileComp
		case gettable[args[0]] == "rollbacks" || gettable[args[0]] == "holds":
			return c.rollbacks(ctx), cobra.ShellCompDirectiveNoFileComp
		case gettable[args[0]] == "policies":
			return c.names(ctx, &v1alpha1.RollbackPolicyList{}, c.namespace), cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
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
