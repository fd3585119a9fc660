package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/backstop-dev/backstop/test/proxy"
)

// ConfigForUser is for a user with a client certificate of its own; RBAC says
// what it may do, which is nothing unless a test binds something to it.
func (e *Env) ConfigForUser(name string, groups ...string) (*rest.Config, error) {
	cert, err := e.authority.issue(name, groups...)
	if err != nil {
		return nil, err
	}
	c := rest.AnonymousClientConfig(e.Config)
	c.QPS = -1
	c.CertData, c.KeyData = cert.cert, cert.key
	return c, nil
}

// ConfigForServiceAccount is for a ServiceAccount that exists, with a token of
// the TokenRequest API that is good for a day.
func (e *Env) ConfigForServiceAccount(ctx context.Context, namespace, name string) (*rest.Config, error) {
	client, err := kubernetes.NewForConfig(e.Config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	day := int64(24 * 60 * 60)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &day}}
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("request a token for %s/%s: %w", namespace, name, err)
	}
	c := rest.AnonymousClientConfig(e.Config)
	c.BearerToken = token.Status.Token
	return c, nil
}

// KubeconfigForUser is ConfigForUser in a file of the environment's folder, whose path it gives.
func (e *Env) KubeconfigForUser(name string, groups ...string) (string, error) {
	c, err := e.ConfigForUser(name, groups...)
	if err != nil {
		return "", err
	}
	path := e.path("user-" + name + ".kubeconfig")
	return path, WriteKubeconfig(c, path)
}

// KubeconfigForServiceAccount is ConfigForServiceAccount in a file of the environment's folder, whose path it gives.
func (e *Env) KubeconfigForServiceAccount(ctx context.Context, namespace, name string) (string, error) {
	c, err := e.ConfigForServiceAccount(ctx, namespace, name)
	if err != nil {
		return "", err
	}
	path := e.path("serviceaccount-" + namespace + "-" + name + ".kubeconfig")
	return path, WriteKubeconfig(c, path)
}

// WriteKubeconfig writes a configuration as a file that kubectl and every client reads.
func WriteKubeconfig(c *rest.Config, path string) error {
	k := api.NewConfig()
	k.Clusters["test"] = &api.Cluster{Server: c.Host, CertificateAuthorityData: c.CAData}
	k.AuthInfos["test"] = &api.AuthInfo{ClientCertificateData: c.CertData, ClientKeyData: c.KeyData, Token: c.BearerToken}
	k.Contexts["test"] = &api.Context{Cluster: "test", AuthInfo: "test"}
	k.CurrentContext = "test"
	if err := clientcmd.WriteToFile(*k, path); err != nil {
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	return nil
}

// Kubectl runs the real kubectl as the administrator and gives what it prints.
// Its error holds what it complained about.
func (e *Env) Kubectl(ctx context.Context, args ...string) (string, error) {
	return e.KubectlAs(ctx, e.Kubeconfig, args...)
}

// KubectlAs is Kubectl with another kubeconfig.
func (e *Env) KubectlAs(ctx context.Context, kubeconfig string, args ...string) (string, error) {
	return e.kubectl(ctx, kubeconfig, nil, args)
}

// Shell runs a script in which kubectl is the real one as the administrator, and gives what it prints and complains
// about.
func (e *Env) Shell(ctx context.Context, script string) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c",
		`kubectl() { command kubectl --kubeconfig="$TESTENV_KUBECONFIG" "$@"; }; `+script)
	cmd.Env = append(os.Environ(), "PATH="+e.bin+string(os.PathListSeparator)+os.Getenv("PATH"),
		"TESTENV_KUBECONFIG="+e.Kubeconfig, "KUBECACHEDIR="+e.path("kubectl-cache"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("run a script: %w", err)
	}
	return string(out), nil
}

// Apply is kubectl apply, server-side, of manifests given as text.
func (e *Env) Apply(ctx context.Context, manifests string) error {
	_, err := e.kubectl(ctx, e.Kubeconfig, []byte(manifests), []string{"apply", "--server-side", "-f", "-"})
	return err
}

func (e *Env) kubectl(ctx context.Context, kubeconfig string, stdin []byte, args []string) (string, error) {
	// Not by KUBECONFIG alone, which is a list: the names of users have colons.
	cmd := exec.CommandContext(ctx, filepath.Join(e.bin, "kubectl"), append(args, "--kubeconfig="+kubeconfig)...)
	cmd.Env = append(os.Environ(), "KUBECACHEDIR="+e.path("kubectl-cache"))
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w: %s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(out), nil
}

// ProxyTo stands a proxy before the API server, serving TLS with a certificate
// of this environment's authority. Tap may be shared with other proxies; nil
// makes one. Via points a configuration at it.
func (e *Env) ProxyTo(tap *proxy.Tap) (*proxy.Proxy, error) {
	serving, err := e.authority.issue("proxy")
	if err != nil {
		return nil, err
	}
	cert, err := serving.tls()
	if err != nil {
		return nil, err
	}
	// Without a client certificate: the client's own token goes through.
	config := rest.AnonymousClientConfig(e.Config)
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("make the proxy's transport: %w", err)
	}
	return proxy.Start(proxy.Options{
		Target: e.Config.Host, Transport: transport, Certificate: cert, Mutates: proxy.APIServer, Tap: tap,
	})
}

// Via gives a configuration that goes through a proxy. It must hold a token: a
// client certificate ends at the proxy.
func Via(c *rest.Config, p *proxy.Proxy) (*rest.Config, error) {
	if c.BearerToken == "" {
		return nil, errors.New("send through a proxy: the configuration has no token")
	}
	via := rest.CopyConfig(c)
	via.Host = p.URL
	return via, nil
}
