package registry

import (
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/backstop-dev/backstop/reconcile"
)

// maxCredentials bounds how many are tried for one question.
const maxCredentials = 4

// credential is one way to say who asks.
type credential struct {
	config authn.AuthConfig
	// from is the number of the pull secret, from 1; 0 is nobody.
	from int
}

func anonymous() []credential { return []credential{{}} }

func (c credential) authenticator() authn.Authenticator {
	if c.from == 0 {
		return authn.Anonymous
	}
	return authn.FromConfig(c.config)
}

// describe ends a sentence about a refusal.
func (c credential) describe() string {
	if c.from == 0 {
		return ", which has no credentials for it"
	}
	return fmt.Sprintf(" with the credentials of pull secret %d", c.from)
}

func (c credential) addTo(h hash.Hash) {
	add(h, c.config.Username, c.config.Password, c.config.Auth, c.config.IdentityToken, c.config.RegistryToken)
}

// credentials are those that fit a repository (docker.io/library/app), in the order of the secrets and within one the
// more specific first. note says in half a sentence what of the secrets could not be used; it names no value.
func credentials(configs [][]byte, repository string) (found []credential, note string) {
	for i, data := range configs {
		entries, helper, err := entriesOf(data)
		if err != nil {
			note = fmt.Sprintf("; pull secret %d is no docker configuration", i+1)
			continue
		}
		if helper {
			note = fmt.Sprintf("; pull secret %d names a credential helper, which is not run", i+1)
		}
		for _, config := range matching(entries, repository) {
			if len(found) < maxCredentials {
				found = append(found, credential{config: config, from: i + 1})
			}
		}
	}
	return found, note
}

// entriesOf reads .dockerconfigjson, or the legacy .dockercfg, which is the same without "auths" around it. Entries
// that do not parse are left out.
func entriesOf(data []byte) (entries map[string]authn.AuthConfig, helper bool, err error) {
	var file struct {
		Auths       map[string]json.RawMessage `json:"auths"`
		CredHelpers map[string]json.RawMessage `json:"credHelpers"`
		CredsStore  json.RawMessage            `json:"credsStore"`
	}
	var legacy map[string]json.RawMessage
	if err := json.Unmarshal(data, &legacy); err != nil {
		return nil, false, err
	}
	_, modern := legacy["auths"]
	if modern || legacy["credHelpers"] != nil || legacy["credsStore"] != nil {
		if err := json.Unmarshal(data, &file); err != nil {
			return nil, false, err
		}
		legacy = file.Auths
	}
	entries = map[string]authn.AuthConfig{}
	for key, raw := range legacy {
		var config authn.AuthConfig
		if json.Unmarshal(raw, &config) == nil && config != (authn.AuthConfig{}) {
			entries[key] = config
		}
	}
	return entries, len(file.CredHelpers) > 0 || len(file.CredsStore) > 0, nil
}

// matching finds the entries of a repository as the kubelet does (credentialprovider/keyring.go): host parts may hold
// wildcards, the path is a prefix, /v1/ and /v2/ count as no path, and index.docker.io stands for docker.io.
func matching(entries map[string]authn.AuthConfig, repository string) []authn.AuthConfig {
	byKey := map[string][]string{}
	for raw := range entries {
		if key, ok := keyOf(raw); ok {
			byKey[key] = append(byKey[key], raw)
		}
	}
	keys := make([]string, 0, len(byKey))
	for key := range byKey {
		keys = append(keys, key)
		slices.Sort(byKey[key])
	}
	slices.Sort(keys)
	slices.Reverse(keys)
	var found []authn.AuthConfig
	take := func(key string) {
		for _, raw := range byKey[key] {
			found = append(found, entries[raw])
		}
	}
	for _, key := range keys {
		if fits(key, repository) {
			take(key)
		}
	}
	if len(found) == 0 && strings.HasPrefix(repository, "docker.io/") {
		take("index.docker.io")
	}
	return found
}

// keyOf makes host/path of the name of an entry.
func keyOf(raw string) (string, bool) {
	if !strings.HasPrefix(raw, "https://") && !strings.HasPrefix(raw, "http://") {
		raw = "https://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return "", false
	}
	p := u.Path
	if strings.HasPrefix(p, "/v1/") || strings.HasPrefix(p, "/v2/") {
		p = p[3:]
	}
	if p == "/" {
		p = ""
	}
	return u.Host + p, true
}

// fits reports whether an entry's key covers a repository.
func fits(key, repository string) bool {
	glob, err := url.Parse("https://" + key)
	if err != nil {
		return false
	}
	asked, err := url.Parse("https://" + repository)
	if err != nil || !strings.HasPrefix(asked.Path, glob.Path) {
		return false
	}
	globParts, globPort := split(glob.Host)
	askedParts, askedPort := split(asked.Host)
	if globPort != askedPort || len(globParts) != len(askedParts) {
		return false
	}
	for i, part := range globParts {
		if ok, err := path.Match(part, askedParts[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

func split(hostport string) (parts []string, port string) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		host, port = hostport, ""
	}
	return strings.Split(host, "."), port
}

// add writes fields that cannot run into each other.
func add(h hash.Hash, fields ...string) {
	for _, f := range fields {
		_, _ = fmt.Fprintf(h, "%d:", len(f))
		_, _ = io.WriteString(h, f)
	}
}

func addAccess(h hash.Hash, a reconcile.Access) {
	add(h, fmt.Sprint(a.Insecure), string(a.CA), string(a.ClientCert), string(a.ClientKey), a.Proxy, a.Provider)
	for _, c := range a.DockerConfigs {
		add(h, string(c))
	}
	if a.Next != nil {
		addAccess(h, *a.Next)
	}
}
