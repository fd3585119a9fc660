package fluxstub

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// gitRemote is a Git server as a GitRepository names it, with its credentials.
type gitRemote struct {
	url     string
	env     []string
	timeout time.Duration
	// authorization is the header that logs in over HTTP; onlyGit says that it takes more than that.
	authorization string
	onlyGit       bool
}

// local runs git without a server, and without anybody's configuration.
func local(home string) *gitRemote {
	r := &gitRemote{timeout: 60 * time.Second}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GIT_") && !strings.HasPrefix(v, "SSH_") {
			r.env = append(r.env, v)
		}
	}
	r.env = append(r.env, "HOME="+home, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_TERMINAL_PROMPT=0",
		"LC_ALL=C")
	return r
}

// remoteOf reads the credentials of a GitRepository.
func (s *stand) remoteOf(ctx context.Context, repo *sourcev1.GitRepository) (*gitRemote, error) {
	home := filepath.Join(s.Dir, "home", repo.Namespace, repo.Name)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, fmt.Errorf("make a folder for credentials: %w", err)
	}
	r := local(home)
	r.url = repo.Spec.URL
	if repo.Spec.Timeout != nil {
		r.timeout = repo.Spec.Timeout.Duration
	}
	// Protocol 2 asks for the refs in a request of its own, which costs the server three processes.
	config := [][2]string{
		{"protocol.version", "0"}, {"maintenance.auto", "false"}, {"core.autocrlf", "false"},
		{"advice.detachedHead", "false"},
	}
	if repo.Spec.SecretRef != nil {
		var secret corev1.Secret
		key := client.ObjectKey{Namespace: repo.Namespace, Name: repo.Spec.SecretRef.Name}
		if err := s.seen.Get(ctx, key, &secret); err != nil {
			return nil, fmt.Errorf("failed to get secret '%s': %w", key, err)
		}
		more, err := r.credentials(home, secret.Data)
		if err != nil {
			return nil, err
		}
		config = append(config, more...)
	}
	// In the environment, so that no credential is seen among a process's arguments.
	for i, c := range config {
		n := strconv.Itoa(i)
		r.env = append(r.env, "GIT_CONFIG_KEY_"+n+"="+c[0], "GIT_CONFIG_VALUE_"+n+"="+c[1])
	}
	r.env = append(r.env, "GIT_CONFIG_COUNT="+strconv.Itoa(len(config)))
	return r, nil
}

// credentials turns a secret into files and configuration of git.
func (r *gitRemote) credentials(home string, data map[string][]byte) ([][2]string, error) {
	var config [][2]string
	files := map[string]string{
		"ca.crt": "http.sslCAInfo", "caFile": "http.sslCAInfo", "tls.crt": "http.sslCert", "tls.key": "http.sslKey",
	}
	for key, content := range data {
		setting, isFile := files[key]
		if !isFile && key != "identity" && key != "known_hosts" {
			continue
		}
		path := filepath.Join(home, key)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return nil, fmt.Errorf("write the credentials of git: %w", err)
		}
		if isFile {
			r.onlyGit = true
			config = append(config, [2]string{setting, path})
		}
	}
	switch {
	case data["identity"] != nil:
		r.env = append(r.env, fmt.Sprintf("GIT_SSH_COMMAND=ssh -F none -i '%s/identity' -o IdentitiesOnly=yes "+
			"-o UserKnownHostsFile='%s/known_hosts' "+
			"-o StrictHostKeyChecking=yes -o BatchMode=yes", home, home))
	case data["bearerToken"] != nil:
		r.authorization = "Bearer " + string(data["bearerToken"])
	case data["username"] != nil:
		basic := base64.StdEncoding.EncodeToString([]byte(string(data["username"]) + ":" + string(data["password"])))
		r.authorization = "Basic " + basic
	}
	if r.authorization != "" {
		config = append(config, [2]string{"http.extraHeader", "Authorization: " + r.authorization})
	}
	return config, nil
}

// git runs git in a folder and gives what it prints, without the white space around it.
func (r *gitRemote) git(ctx context.Context, dir string, args ...string) (string, error) {
	out, err := r.output(ctx, dir, args...)
	return strings.TrimSpace(string(out)), err
}

func (r *gitRemote) output(ctx context.Context, dir string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env = dir, r.env
	cmd.WaitDelay = 5 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		return out, nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	words := strings.TrimSpace(stderr.String())
	if r.url != "" {
		words = strings.ReplaceAll(words, r.url, redact(r.url))
	}
	return nil, fmt.Errorf("git %s: %w: %s", args[0], err, words)
}

// redact takes the password out of a URL.
func redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return u.Redacted()
}

// mirror is the folder of a GitRepository's bare clone, made if it is missing.
func (s *stand) mirror(key client.ObjectKey) (string, error) {
	dir := filepath.Join(s.Dir, "mirrors", key.Namespace, key.Name+".git")
	if _, err := os.Stat(filepath.Join(dir, "HEAD")); err == nil {
		return dir, nil
	}
	return dir, begin(dir, true)
}

// begin makes an empty repository as git init does. A process costs more than these files.
func begin(dir string, bare bool) error {
	for _, d := range []string{"objects", "refs"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return fmt.Errorf("make a repository: %w", err)
		}
	}
	config := fmt.Sprintf("[core]\n\trepositoryformatversion = 0\n\tbare = %t\n", bare)
	for name, text := range map[string]string{"config": config, "HEAD": "ref: refs/heads/main\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("make a repository: %w", err)
		}
	}
	return nil
}

// refIn is the commit of a ref in a repository of begin, which nobody packs.
func refIn(dir, ref string) (string, error) {
	at, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(ref)))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", ref, err)
	}
	return strings.TrimSpace(string(at)), nil
}

// reference is what a GitRepositoryRef asks for: the ref to fetch and how a revision of it begins.
func reference(ref *sourcev1.GitRepositoryRef) (fetch, prefix string, err error) {
	switch {
	case ref == nil:
		return "refs/heads/master", "master@", nil
	case ref.Name != "":
		return ref.Name, ref.Name + "@", nil
	case ref.SemVer != "":
		return "", "", errors.New("the stand-in knows no semver references")
	case ref.Tag != "":
		return "refs/tags/" + ref.Tag, ref.Tag + "@", nil
	case ref.Branch != "":
		return "refs/heads/" + ref.Branch, ref.Branch + "@", nil
	case ref.Commit != "":
		return "refs/heads/*", "", nil
	}
	return "refs/heads/master", "master@", nil
}

// commitOf takes the commit out of a revision such as main@sha1:731f….
func commitOf(revision string) string {
	_, commit, _ := strings.Cut(revision, "sha1:")
	return commit
}
