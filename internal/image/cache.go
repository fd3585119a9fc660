package image

import "regexp"

// pullThrough are repositories that are caches by their address, whoever runs them: Google's mirror of Docker Hub and
// other public ones, GitLab's dependency proxy, and those of Amazon ECR under the prefixes that its console proposes.
var pullThrough = regexp.MustCompile(`^(?:` +
	`mirror\.gcr\.io/|(?:[a-z0-9-]+\.)?m\.daocloud\.io/|docker\.mirrors\.ustc\.edu\.cn/|hub-mirror\.c\.163\.com/|` +
	`[a-z0-9-]+\.mirror\.(?:aliyuncs|swr\.myhuaweicloud)\.com/|mirror\.ccs\.tencentyun\.com/|` +
	`dockerproxy\.(?:com|net|cn)/|` +
	`[^/]+/(?:.+/)?dependency_proxy/containers/|` +
	`[0-9]+\.dkr[.-]ecr(?:-fips)?\.[a-z0-9-]+\.(?:amazonaws\.com(?:\.cn)?|on\.aws)/` +
	`(?:docker-hub|ecr-public|github|gitlab|kubernetes|k8s|quay|azure-container-registry|chainguard)/)`)

// PullThrough reports whether a repository is one of a cache by its address, whoever runs it. What other caches are
// called is their owner's choice.
func PullThrough(repository string) bool { return pullThrough.MatchString(repository) }
