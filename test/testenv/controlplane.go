package testenv

import (
	"bytes"
	"context"
	cryptorand "crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/backstop-dev/backstop/test/process"
)

// errPortTaken means that a process lost its port to another one.
var errPortTaken = errors.New("a port was taken in between")

// auditPolicy records who asked what, for the ServiceAccounts of Backstop's namespace alone.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts:` + Namespace + `"]
- level: None
`

// up starts the processes in an order that keeps the processor busy rather than waiting.
func (e *Env) up(ctx context.Context) error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	etcd, server := "http://127.0.0.1:"+ports[0], "https://127.0.0.1:"+ports[2]
	e.etcd = etcd
	if err := e.writeKeys(server); err != nil {
		return err
	}
	if err := e.run("etcd",
		"--data-dir="+filepath.Join(e.Dir, "etcd"),
		"--unsafe-no-fsync",
		"--listen-client-urls="+etcd, "--advertise-client-urls="+etcd,
		"--listen-peer-urls=http://127.0.0.1:"+ports[1], "--initial-advertise-peer-urls=http://127.0.0.1:"+ports[1],
		"--initial-cluster=default=http://127.0.0.1:"+ports[1],
		"--log-level=warn",
	); err != nil {
		return err
	}
	bind, further := "127.0.0.1", e.apiServer
	if e.address != nil {
		bind = "0.0.0.0"
		// It asks the kubelet for logs, at the node's address and as itself.
		further = append([]string{"--kubelet-preferred-address-types=InternalIP",
			"--kubelet-client-certificate=" + e.path("server.crt"), "--kubelet-client-key=" + e.path("server.key")}, further...)
	}
	if err := e.run("kube-apiserver", append([]string{
		"--etcd-servers=" + etcd,
		"--bind-address=" + bind, "--secure-port=" + ports[2],
		"--tls-cert-file=" + e.path("server.crt"), "--tls-private-key-file=" + e.path("server.key"),
		"--client-ca-file=" + e.path("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + e.path("sa.crt"), "--service-account-signing-key-file=" + e.path("sa.key"),
		"--service-cluster-ip-range=10.96.0.0/24",
		"--authorization-mode=Node,RBAC",
		"--endpoint-reconciler-type=none",
		"--audit-policy-file=" + e.path("audit-policy.yaml"), "--audit-log-path=" + e.AuditLog,
		"--audit-log-maxsize=100000", // MB; at 100, its default, a long run on a slow machine lost its first half
		"--token-auth-file=" + e.path("tokens.csv"),
		"--profiling=false",
	}, further...)...); err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(e.Config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	if err := e.until(ctx, "the API server to serve", func(ctx context.Context) error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}); err != nil {
		return err
	}
	if err := e.runControllers(); err != nil {
		return err
	}
	if err := e.installCRDs(ctx); err != nil {
		return err
	}
	return e.until(ctx, "the controllers to run", controllersWork(client))
}

// runControllers starts those controllers that make workloads of manifests and
// clean up after them. There is nobody to elect against, and no node to watch.
func (e *Env) runControllers() error {
	controllers := []string{
		"deployment-controller", "replicaset-controller", "statefulset-controller", "daemonset-controller",
		"job-controller", "cronjob-controller", "namespace-controller", "serviceaccount-controller",
		"garbage-collector-controller", "ttl-after-finished-controller", "clusterrole-aggregation-controller",
		"validatingadmissionpolicy-status-controller",
	}
	authority := ""
	if e.address != nil {
		// A node's taints, the authority that pods trust, and what a drain asks.
		controllers = append(controllers, "node-lifecycle-controller", "root-ca-certificate-publisher-controller",
			"disruption-controller")
		authority = e.path("ca.crt")
	}
	return e.run("kube-controller-manager",
		"--kubeconfig="+e.Kubeconfig,
		"--root-ca-file="+authority,
		"--controllers="+strings.Join(controllers, ","),
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=1000", "--kube-api-burst=2000",
		"--concurrent-deployment-syncs=20", "--concurrent-replicaset-syncs=20", "--concurrent-statefulset-syncs=10",
		"--concurrent-job-syncs=10", "--concurrent-namespace-syncs=20", "--concurrent-gc-syncs=20",
		"--concurrent-serviceaccount-token-syncs=5",
		"--min-resync-period=1h",
	)
}

// writeKeys fills the folder with what the processes are given, and sets Config.
func (e *Env) writeKeys(server string) error {
	var err error
	if e.authority, err = newAuthority(time.Now()); err != nil {
		return err
	}
	if e.address != nil {
		e.authority.addresses = append(e.authority.addresses, e.address)
	}
	serving, err := e.authority.issue("kube-apiserver")
	if err != nil {
		return err
	}
	tokens, err := e.authority.issue("service-accounts")
	if err != nil {
		return err
	}
	public, err := publicKey(tokens.cert)
	if err != nil {
		return err
	}
	token := cryptorand.Text()
	for name, content := range map[string][]byte{
		"ca.crt": e.authority.cert, "server.crt": serving.cert, "server.key": serving.key,
		"sa.crt": public, "sa.key": tokens.key, "audit-policy.yaml": []byte(auditPolicy),
		"tokens.csv": []byte(token + ",admin,admin,system:masters\n"),
	} {
		if err := os.WriteFile(e.path(name), content, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	// By a token: a certificate's chain is verified at each request, which took a twentieth of the API server's time.
	e.Config = &rest.Config{
		Host: server, TLSClientConfig: rest.TLSClientConfig{CAData: e.authority.cert}, BearerToken: token, QPS: -1,
	}
	e.Kubeconfig = e.path("admin.kubeconfig")
	return WriteKubeconfig(e.Config, e.Kubeconfig)
}

// publicKey takes the public key out of a certificate, in PEM.
func publicKey(cert []byte) ([]byte, error) {
	block, _ := pem.Decode(cert)
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read a certificate: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(parsed.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("encode a public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

func (e *Env) path(name string) string { return filepath.Join(e.Dir, name) }

// run starts one of the binaries, with its output in NAME.log.
func (e *Env) run(name string, args ...string) error {
	out, err := os.Create(e.path(name + ".log"))
	if err != nil {
		return fmt.Errorf("make the log of %s: %w", name, err)
	}
	defer out.Close()
	cmd := exec.Command(filepath.Join(e.bin, name), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = e.Dir, out, out
	// Small heaps are collected all the time: a tenth of the API server's processor time goes there otherwise. Stacks
	// that begin as large as most become are not copied while they grow: a fifteenth.
	cmd.Env = append(os.Environ(), "GOGC=400", "GODEBUG=adaptivestackstart=1")
	p, err := process.Start(name, cmd)
	if err != nil {
		return err
	}
	e.processes = append(e.processes, p)
	return nil
}

// until asks again and again, and gives up when a process has ended.
func (e *Env) until(ctx context.Context, what string, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (last answer: %w)", what, ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
		for _, p := range e.processes {
			select {
			case <-p.Done():
				return e.ended(p)
			default:
			}
		}
	}
}

// ended explains why a process ended, so that a lost port can be told from the rest.
func (e *Env) ended(p *process.Process) error {
	err := fmt.Errorf("the control plane ended early: %w", p.Err())
	for _, other := range e.processes {
		log, _ := os.ReadFile(e.path(other.Name() + ".log"))
		if bytes.Contains(log, []byte("address already in use")) {
			return fmt.Errorf("%w: %w", err, errPortTaken)
		}
	}
	return err
}

// lastWords are the ends of the logs, for an error message.
func (e *Env) lastWords() string {
	var words strings.Builder
	for _, p := range e.processes {
		log, _ := os.ReadFile(e.path(p.Name() + ".log"))
		lines := strings.Split(strings.TrimSpace(string(log)), "\n")
		fmt.Fprintf(&words, "\n%s: %s", p.Name(), strings.Join(lines[max(0, len(lines)-5):], "\n\t"))
	}
	return words.String()
}

// freePorts finds ports below the range that the kernel takes from for
// outgoing connections, so that only another listener could be faster.
func freePorts(n int) ([]string, error) {
	var ports []string
	for range 1000 {
		port := strconv.Itoa(12000 + rand.IntN(20000))
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		defer l.Close()
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, errors.New("find free ports: none between 12000 and 32000")
}
