package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/backstop-dev/backstop/reconcile"
)

const (
	privateECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
	publicECR  = "public.ecr.aws"
	privateACR = "acme.azurecr.io"
)

// nobody takes away everything by which this machine may be known to a cloud.
func nobody(t *testing.T) {
	t.Helper()
	for _, pair := range os.Environ() {
		key, value, _ := strings.Cut(pair, "=")
		for _, prefix := range []string{"AWS_", "AZURE_", "IDENTITY_", "MSI_", "GITHUB_TOKEN", "DOCKER_CONFIG", "XDG_", "REGISTRY_AUTH"} {
			if strings.HasPrefix(key, prefix) {
				t.Setenv(key, value) // so that it is back afterwards
				if err := os.Unsetenv(key); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("PATH", home)
}

// cloudStub is what of a cloud a login is asked of; it writes down what it was asked.
type cloudStub struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func newCloudStub(t *testing.T, answer http.HandlerFunc) *cloudStub {
	t.Helper()
	s := &cloudStub{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r.Host+r.URL.Path)
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *cloudStub) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// amazonStub answers as ECR and ECR Public do to whoever signs with a key.
func amazonStub(t *testing.T, key string) *cloudStub {
	t.Helper()
	s := newCloudStub(t, func(w http.ResponseWriter, r *http.Request) {
		target := r.Header.Get("X-Amz-Target")
		if !strings.Contains(r.Header.Get("Authorization"), "Credential="+key+"/") {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"UnrecognizedClientException","message":"The security token s3cret is invalid."}`)
			return
		}
		data := map[string]any{
			"authorizationToken": base64.StdEncoding.EncodeToString([]byte("AWS:pass:word")),
			"expiresAt":          float64(time.Now().Add(time.Hour).Unix()),
		}
		region, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="+key+"/"), ",")
		switch {
		case strings.HasPrefix(target, "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken") && strings.Contains(region, "/eu-west-1/"):
			_ = json.NewEncoder(w).Encode(map[string]any{"authorizationData": []any{data}})
		case strings.HasPrefix(target, "SpencerFrontendService.GetAuthorizationToken") && strings.Contains(region, "/us-east-1/"):
			_ = json.NewEncoder(w).Encode(map[string]any{"authorizationData": data})
		default:
			http.Error(w, "unexpected "+target+" "+region, http.StatusNotFound)
		}
	})
	s.Start()
	return s
}

// loginOf is the user and password that an access has for a registry.
func loginOf(t *testing.T, a reconcile.Access, host string) string {
	t.Helper()
	if len(a.DockerConfigs) == 0 {
		return ""
	}
	var found struct {
		Auths map[string]authn.AuthConfig `json:"auths"`
	}
	if err := json.Unmarshal(a.DockerConfigs[0], &found); err != nil {
		t.Fatal(err)
	}
	who, ok := found.Auths[host]
	if !ok {
		t.Fatalf("no login to %s in %d", host, len(found.Auths))
	}
	return who.Username + "|" + who.Password
}

func TestLoginToAmazonECR(t *testing.T) {
	nobody(t)
	s := amazonStub(t, "AKIDEXAMPLE")
	t.Setenv("AWS_ENDPOINT_URL", s.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
	l := &logins{keychain: keychain()}
	for _, host := range []string{privateECR, publicECR} {
		for _, repository := range []string{"app", "team/api"} {
			a := l.access(t.Context(), host+"/"+repository+":v1")
			if got := loginOf(t, a, host); got != "AWS|pass:word" || a.Missing != "" {
				t.Errorf("the login to %s is %q, missing %q", host, got, a.Missing)
			}
		}
	}
	if s.count() != 2 {
		t.Errorf("it asked %q, which is not once for each registry", s.asked)
	}
}

func TestAmazonGivesNoLogin(t *testing.T) {
	const way = "run `aws sso login` or `aws configure`"
	for title, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"no credentials at all":        {nil, "AWS gave no login to " + privateECR + ": " + way},
		"credentials that do not hold": {map[string]string{"AWS_ACCESS_KEY_ID": "AKIDOLD", "AWS_SECRET_ACCESS_KEY": "s3cret"}, "(UnrecognizedClientException): " + way},
		"a profile that is not there":  {map[string]string{"AWS_PROFILE": "prodution"}, `(there is no profile "prodution"): ` + way},
	} {
		t.Run(title, func(t *testing.T) {
			nobody(t)
			t.Setenv("AWS_ENDPOINT_URL", amazonStub(t, "AKIDEXAMPLE").URL)
			t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
			for key, value := range c.env {
				t.Setenv(key, value)
			}
			l := &logins{keychain: keychain()}
			a := l.access(t.Context(), privateECR+"/app:v1")
			if len(a.DockerConfigs) != 0 || !strings.Contains(a.Missing, c.want) || strings.Contains(a.Missing, "s3cret") {
				t.Errorf("it has %d logins, and says %q, not %q", len(a.DockerConfigs), a.Missing, c.want)
			}
		})
	}
}

func TestMetadataServerThatNeverAnswersIsNotWaitedFor(t *testing.T) {
	nobody(t)
	s := newCloudStub(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s.Start()
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", s.URL)
	amazon := newAmazon()
	if amazon.patience > 5*time.Second {
		t.Errorf("it would wait for %s", amazon.patience)
	}
	amazon.patience = 50 * time.Millisecond
	l := &logins{keychain: amazon}
	a := l.access(t.Context(), privateECR+"/app:v1")
	if !strings.HasPrefix(a.Missing, "AWS gave no login to "+privateECR+" in time: run") || len(a.DockerConfigs) != 0 {
		t.Errorf("it says %q", a.Missing)
	}
	if s.count() == 0 {
		t.Error("nobody asked the metadata server")
	}
}

// azureStub is Entra ID, the metadata server and the registry acme.azurecr.io at once.
func azureStub(t *testing.T) (*cloudStub, *http.Client) {
	t.Helper()
	s := newCloudStub(t, func(w http.ResponseWriter, r *http.Request) {
		authority := "https://login.microsoftonline.com/acme/"
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		w.Header().Set("Content-Type", "application/json")
		switch r.Host + r.URL.Path {
		case "login.microsoftonline.com/common/discovery/instance":
			fmt.Fprintf(w, `{"tenant_discovery_endpoint": "%sv2.0/.well-known/openid-configuration", "metadata": []}`, authority)
		case "login.microsoftonline.com/acme/v2.0/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer": "%[1]sv2.0", "authorization_endpoint": "%[1]soauth2/v2.0/authorize", "token_endpoint": "%[1]soauth2/v2.0/token"}`, authority)
		case "login.microsoftonline.com/acme/oauth2/v2.0/token":
			if form.Get("client_secret") != "s3cret" || !strings.Contains(form.Get("scope"), azureScope) {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"error": "invalid_client", "error_description": "AADSTS7000215: wr0ng is wrong"}`)
				return
			}
			_, _ = io.WriteString(w, `{"token_type": "Bearer", "expires_in": 3600, "access_token": "entra"}`)
		case privateACR + "/oauth2/exchange":
			if form.Get("access_token") != "entra" || form.Get("service") != privateACR || form.Get("grant_type") != "access_token" {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"errors": [{"code": "UNAUTHORIZED"}]}`)
				return
			}
			_, _ = io.WriteString(w, `{"refresh_token": "refresh"}`)
		default:
			http.Error(w, "unexpected "+r.Host+r.URL.Path, http.StatusNotFound)
		}
	})
	s.StartTLS()
	client := s.Client()
	transport := client.Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.ServerName = "example.com" // which is whom httptest's certificate is of
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
	}
	client.Transport = transport
	return s, client
}

func TestLoginToAzureContainerRegistry(t *testing.T) {
	nobody(t)
	s, client := azureStub(t)
	for key, value := range map[string]string{"AZURE_TENANT_ID": "acme", "AZURE_CLIENT_ID": "ci", "AZURE_CLIENT_SECRET": "s3cret"} {
		t.Setenv(key, value)
	}
	l := &logins{keychain: newAzure(client)}
	for _, image := range []string{"/app:v1", "/team/api:v2"} {
		a := l.access(t.Context(), privateACR+image)
		if got := loginOf(t, a, privateACR); got != azureUser+"|refresh" || a.Missing != "" {
			t.Errorf("the login is %q, missing %q", got, a.Missing)
		}
	}
	exchanged := 0
	for _, path := range s.asked {
		if path == privateACR+"/oauth2/exchange" {
			exchanged++
		}
	}
	if exchanged != 1 {
		t.Errorf("it asked %q", s.asked)
	}
}

func TestLoginToAzureContainerRegistryAfterAzLogin(t *testing.T) {
	nobody(t)
	_, client := azureStub(t)
	bin := t.TempDir()
	// What `az account get-access-token -o json` prints.
	files(t, bin, map[string]string{"az": "#!/bin/sh\necho '{\"accessToken\": \"entra\", \"expires_on\": 4102444800, \"tokenType\": \"Bearer\"}'\n"})
	if err := os.Chmod(filepath.Join(bin, "az"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":/bin:/usr/bin")
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "AzureCLICredential")
	l := &logins{keychain: newAzure(client)}
	a := l.access(t.Context(), privateACR+"/app:v1")
	if got := loginOf(t, a, privateACR); got != azureUser+"|refresh" {
		t.Errorf("the login is %q, missing %q", got, a.Missing)
	}
}

func TestAzureGivesNoLogin(t *testing.T) {
	const way = "run `az login`, or set AZURE_TENANT_ID"
	for title, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"no credentials at all":       {map[string]string{"AZURE_TOKEN_CREDENTIALS": "dev"}, "Azure gave no login to " + privateACR + ": " + way},
		"a secret that does not hold": {map[string]string{"AZURE_TENANT_ID": "acme", "AZURE_CLIENT_ID": "ci", "AZURE_CLIENT_SECRET": "wr0ng"}, way},
		"a chain that there is not":   {map[string]string{"AZURE_TOKEN_CREDENTIALS": "all"}, way},
	} {
		t.Run(title, func(t *testing.T) {
			nobody(t)
			_, client := azureStub(t)
			for key, value := range c.env {
				t.Setenv(key, value)
			}
			l := &logins{keychain: newAzure(client)}
			a := l.access(t.Context(), privateACR+"/app:v1")
			if len(a.DockerConfigs) != 0 || !strings.Contains(a.Missing, c.want) || strings.Contains(a.Missing, "wr0ng") {
				t.Errorf("it has %d logins, and says %q, not %q", len(a.DockerConfigs), a.Missing, c.want)
			}
		})
	}
}

func TestCloudsAreAskedForTheirOwnRegistriesOnly(t *testing.T) {
	nobody(t)
	for host, want := range map[string]string{
		privateECR: "AWS", publicECR: "AWS",
		"123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com": "AWS",
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn":      "AWS",
		"123456789012.dkr-ecr.eu-west-1.on.aws":                 "AWS",
		privateACR:                                              "Azure",
		"acme.azurecr.cn":                                       "Azure",
		"ghcr.io":                                               "",
		"index.docker.io":                                       "",
		"quay.io":                                               "",
		"127.0.0.1:5000":                                        "",
		"azurecr.io":                                            "",
		"acme.azurecr.io.example.com":                           "",
		"acme.azurecr.io:8443":                                  "",
		"a.b.azurecr.io":                                        "",
		"1234.dkr.ecr.eu-west-1.amazonaws.com":                  "",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com.example": "",
		"123456789012.dkr.ecr.evil.example.amazonaws.com":      "",
		"x123456789012.dkr.ecr.eu-west-1.amazonaws.com":        "",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com:443":     "",
		"public.ecr.aws.example":                               "",
		"ecr.aws":                                              "",
	} {
		asked := ""
		for _, k := range clouds() {
			c := k.(*cloud)
			c.login = func(context.Context, []string) (authn.AuthConfig, error) {
				asked += c.name
				return authn.AuthConfig{Username: "u", Password: "p"}, nil
			}
			repository, err := name.NewRepository(host + "/app")
			if err != nil {
				t.Fatal(err)
			}
			who, err := c.ResolveContext(t.Context(), repository)
			if err != nil || (who == authn.Anonymous) != (asked != c.name) {
				t.Errorf("%s of %s gives %v, %v", c.name, host, who, err)
			}
		}
		if asked != want {
			t.Errorf("%s is asked of %q, not %q", host, asked, want)
		}
	}
}
