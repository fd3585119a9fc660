package bench

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/backstop-dev/backstop/test/fleet"
)

const (
	// failing is how many pods fail while the memory is measured.
	failing = 10
	// history is how many ReplicaSets a Deployment keeps.
	history = 10
	// spread is over how many namespaces the crowd is spread.
	spread = 20
)

// BenchmarkMemory measures the sidecar among 1,000 and among 10,000 workloads, a minute after it began to watch.
func BenchmarkMemory(b *testing.B) {
	s := newStage(b, 2*failing)
	binary := s.release("sidecar")
	s.writeBack(s.fleet.Apps, false)
	s.apply(fleet.Tag(env, 1), s.fleet.Apps...)
	pods := map[string]*corev1.Pod{}
	for _, app := range s.fleet.Apps {
		pods[app] = s.kubelet.await(b, app)
	}
	c := newCrowd(s)
	// A Deployment's controller would need hours for what follows, and memory that is not measured.
	s.plane.StopControllers()
	for b.Loop() {
		for i, n := range []int{1000, 10_000} {
			c.grow(n)
			for field, mb := range s.weigh(binary, s.fleet.Apps[i*failing:(i+1)*failing], pods) {
				b.ReportMetric(mb, fmt.Sprintf("MB-%s-of-%d", field, n))
			}
		}
	}
	load(b)
}

// weighed is what is read of the sidecar's memory: all of it, the most so far, its own, and the pages of the program's
// file, which the kernel may drop.
var weighed = []string{"VmRSS", "VmHWM", "RssAnon", "RssFile"}

// weigh starts the sidecar, has pods fail, and reads the sidecar's memory a minute after it began to watch.
func (s *stage) weigh(binary string, apps []string, pods map[string]*corev1.Pod) map[string]float64 {
	s.b.Helper()
	c := s.start(binary)
	minute := time.After(time.Minute)
	for _, app := range apps {
		_, err := s.kubelet.fail(s.b.Context(), pods[app])
		s.must(err)
	}
	s.until("all to be reverted", func() error {
		for _, app := range apps {
			text, err := s.alice.Git(s.b.Context(), "--git-dir="+s.repo, "show", fleet.Branch+":"+s.fleet.File(env, app))
			if err != nil {
				return err
			}
			if !strings.Contains(text, fleet.Tag(env, 0)) {
				return fmt.Errorf("%s is not", app)
			}
		}
		return nil
	})
	<-minute
	mb := map[string]float64{}
	for _, field := range weighed {
		var err error
		mb[field], err = c.memory(field)
		s.must(err)
	}
	s.b.Logf("after a minute: %v", mb)
	c.Stop(30 * time.Second)
	return mb
}

// crowd is a cluster full of workloads that run.
type crowd struct {
	s      *stage
	client kubernetes.Interface
	size   int
	// paused keeps the Deployments' controller from rolling them out.
	paused bool
}

func newCrowd(s *stage) *crowd {
	config := rest.CopyConfig(s.plane.Config)
	config.ContentType, config.QPS = runtime.ContentTypeProtobuf, -1
	client, err := kubernetes.NewForConfig(config)
	s.must(err)
	c := &crowd{s: s, client: client}
	for i := range spread {
		name := c.namespace(i)
		s.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		s.until("the service account of "+name, func() error {
			_, err := client.CoreV1().ServiceAccounts(name).Get(s.b.Context(), "default", metav1.GetOptions{})
			return err
		})
	}
	return c
}

func (c *crowd) namespace(i int) string { return fmt.Sprintf("crowd-%02d", i%spread) }

// grow makes Deployments with their ReplicaSets and a running pod each, until there are n of each.
func (c *crowd) grow(n int) {
	c.s.b.Helper()
	start := time.Now()
	next := make(chan int)
	var workers sync.WaitGroup
	for range 24 {
		workers.Go(func() {
			for i := range next {
				if err := c.add(c.s.b.Context(), i); err != nil {
					c.s.b.Errorf("make workload %d: %v", i, err)
				}
			}
		})
	}
	for i := c.size; i < n; i++ {
		next <- i
	}
	close(next)
	workers.Wait()
	c.size = n
	if c.s.b.Failed() {
		c.s.b.FailNow()
	}
	c.s.b.Logf("%d Deployments, %d ReplicaSets and %d running pods after %s", n, n*history, n,
		time.Since(start).Round(time.Second))
}

func (c *crowd) add(ctx context.Context, i int) error {
	ns, name := c.namespace(i), fmt.Sprintf("service-%05d", i)
	apps := c.client.AppsV1()
	d, err := apps.Deployments(ns).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels(name), Annotations: map[string]string{
			"deployment.kubernetes.io/revision": fmt.Sprint(history),
		}},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels(name)}, Template: template(name, history), Paused: c.paused,
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if _, err := apps.Deployments(ns).UpdateStatus(ctx, available(d), metav1.UpdateOptions{}); err != nil {
		return err
	}
	var owner *metav1.OwnerReference
	for revision := range history {
		none := int32(0)
		if revision == history-1 {
			none = 1
		}
		rs, err := apps.ReplicaSets(ns).Create(ctx, &appsv1.ReplicaSet{
			ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("%s-%d", name, revision), Labels: labels(name),
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
			},
			Spec: appsv1.ReplicaSetSpec{
				Replicas: &none, Selector: &metav1.LabelSelector{MatchLabels: labels(name)}, Template: brief(name, revision+1),
			},
		}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		owner = metav1.NewControllerRef(rs, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))
	}
	t := template(name, history)
	pod, err := c.client.CoreV1().Pods(ns).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name + "-9-abcde", Labels: t.Labels, OwnerReferences: []metav1.OwnerReference{*owner}},
		Spec:       t.Spec,
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = c.client.CoreV1().Pods(ns).UpdateStatus(ctx, running(pod), metav1.UpdateOptions{})
	return err
}

// available is a Deployment of which all pods run, as its controller says it.
func available(d *appsv1.Deployment) *appsv1.Deployment {
	d.Status = appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1,
	}
	return d
}

func labels(name string) map[string]string {
	return map[string]string{"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "shop", "team": "payments"}
}

// brief is a template without what only weighs: nobody reads the ReplicaSets.
func brief(name string, revision int) corev1.PodTemplateSpec {
	t := template(name, revision)
	t.Spec.Containers[0].Env = nil
	return t
}

// template is a pod of two containers with 35 environment variables, as the pods of a real cluster have them.
func template(name string, revision int) corev1.PodTemplateSpec {
	no := false
	var vars []corev1.EnvVar
	for i := range 35 {
		vars = append(vars, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%02d", i), Value: fmt.Sprintf("value-%d-of-%s", i, name)})
	}
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels(name)},
		Spec: corev1.PodSpec{
			NodeName: "node-1", AutomountServiceAccountToken: &no,
			Containers: []corev1.Container{
				{Name: "app", Image: fmt.Sprintf("registry.example.com/shop/%s:v1.%d.0", name, revision), Env: vars},
				{Name: "proxy", Image: "registry.example.com/mesh/proxy:v2.0.1"},
			},
		},
	}
}
