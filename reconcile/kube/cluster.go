package kube

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// systemNamespace is in every cluster from its birth to its end, and so its UID is the cluster's.
const systemNamespace = "kube-system"

// uidAgain is how long a cluster's UID is not asked for after the API server did not answer.
const uidAgain = time.Second

// ClusterUID reads the UID of the namespace kube-system, by which clusters of one name are told apart. It is empty
// where that may not be read, which the log says. An API server that does not answer is asked until it does.
func ClusterUID(ctx context.Context, namespaces corev1client.NamespacesGetter, log *slog.Logger) (string, error) {
	for {
		ns, err := namespaces.Namespaces().Get(ctx, systemNamespace, metav1.GetOptions{})
		switch {
		case err == nil:
			return string(ns.UID), nil
		case apierrors.IsForbidden(err), apierrors.IsNotFound(err), apierrors.IsUnauthorized(err):
			log.Warn("the cluster's UID is not known: clusters are told apart by --cluster alone, which must be unique "+
				"among those on one repository; grant get on the namespace kube-system to tell them apart by UID",
				"error", err.Error())
			return "", nil
		}
		log.Warn("read the namespace kube-system; trying again", "error", err.Error())
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("read the namespace kube-system: %w", ctx.Err())
		case <-time.After(uidAgain):
		}
	}
}
