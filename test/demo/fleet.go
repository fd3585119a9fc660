package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// environments and apps of the fleet: three by two, as most repositories have them.
var (
	environments = []string{"develop", "staging", "production"}
	apps         = []string{app, front}
)

const (
	gitUser     = "backstop"
	gitPassword = "demo-password"
)

// tag is what the build pipeline would call an image: the environment, a version, a time that only grows.
func tag(env, version string, serial int) string {
	return fmt.Sprintf("%s-v%s-%d", env, version, 1700000000+serial)
}

func manifest(registry, env, app string) string {
	replicas := 1
	if app == front {
		replicas = 2
	}
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[3]s
  namespace: %[2]s
  labels: {app: %[3]s}
spec:
  replicas: %[5]d
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: %[6]d}}
  selector:
    matchLabels: {app: %[3]s}
  template:
    metadata:
      labels: {app: %[3]s}
    spec:
      containers:
        - name: %[3]s
          image: %[1]s/%[3]s:%[4]s # {"$imagepolicy": "%[2]s:%[3]s"}
`, registry, env, app, tag(env, "1.0.0", 0), replicas, replicas-1)
}

// objects are what a platform team applies beside the repository: sources, policies, automations. delivery is the
// policy's, where it says one.
func objects(registry, gitURL, password string, delivery v1alpha1.Delivery) string {
	var b strings.Builder
	fmt.Fprintf(&b, `apiVersion: v1
kind: Namespace
metadata: {name: flux-system}
---
apiVersion: v1
kind: Secret
metadata: {name: fleet, namespace: flux-system}
stringData: {username: %q, password: %q}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: fleet, namespace: flux-system}
spec:
  interval: 10s
  url: %s
  ref: {branch: main}
  secretRef: {name: fleet}
`, gitUser, password, gitURL)
	for _, env := range environments {
		b.WriteString(environment(env, registry))
	}
	b.WriteString(`---
apiVersion: backstop.dev/v1alpha1
kind: RollbackPolicy
metadata: {name: apps, namespace: production}
spec:
  triggers:
  - {type: ImagePull, mode: Approve, gracePeriod: 2s}
  - {type: Rollout, mode: Approve, gracePeriod: 2s}
  - {type: Drift, mode: Approve}
  approval: {slack: {users: [U0JANE]}}
  providerRef: {name: slack}
`)
	if delivery != "" {
		fmt.Fprintf(&b, "  delivery: %s\n", delivery)
	}
	return b.String()
}

// environment is what Flux needs to deploy one environment and to write its images back.
func environment(env, registry string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `---
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: %[1]s, namespace: flux-system}
spec:
  interval: 10m
  retryInterval: 1m
  timeout: 90s
  path: ./apps/%[1]s
  prune: true
  sourceRef: {kind: GitRepository, name: fleet}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageUpdateAutomation
metadata: {name: %[1]s, namespace: %[1]s}
spec:
  interval: 10s
  sourceRef: {kind: GitRepository, name: fleet, namespace: flux-system}
  git:
    checkout: {ref: {branch: main}}
    commit: {author: {name: fluxcdbot, email: fluxcdbot@users.noreply.github.com}}
    push: {branch: main}
  update: {path: ./apps/%[1]s, strategy: Setters}
`, env)
	for _, app := range apps {
		fmt.Fprintf(&b, `---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: %[2]s, namespace: %[1]s}
spec: {image: %[3]s/%[2]s, interval: 5s, insecure: true}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  imageRepositoryRef: {name: %[2]s}
  filterTags: {pattern: '^%[1]s-v[0-9.]+-(?P<ts>[0-9]+)$', extract: '$ts'}
  policy: {numerical: {order: asc}}
`, env, app, registry)
	}
	return b.String()
}

// seed pushes the first commit to a repository.
func seed(to, registry, dir string) error {
	work := filepath.Join(dir, "seed")
	for _, env := range environments {
		for _, app := range apps {
			path := filepath.Join(work, "apps", env, app+".yaml")
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return fmt.Errorf("make the fleet's folder: %w", err)
			}
			if err := os.WriteFile(path, []byte(manifest(registry, env, app)), 0o644); err != nil {
				return fmt.Errorf("write the fleet: %w", err)
			}
		}
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"}, {"add", "."}, {"commit", "-q", "-m", "Three environments, two apps"},
		{"push", "-q", to, "main"},
	} {
		if out, err := git(work, args...); err != nil {
			return fmt.Errorf("git %s: %w: %s", args[0], err, out)
		}
	}
	return nil
}

// git runs the real git as a person with a name, free of the machine's own configuration.
func git(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(gitserver.Env(), "PATH="+os.Getenv("PATH"), "GIT_AUTHOR_NAME=Jane Doe",
		"GIT_AUTHOR_EMAIL=jane@example.com", "GIT_COMMITTER_NAME=Jane Doe", "GIT_COMMITTER_EMAIL=jane@example.com")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}
