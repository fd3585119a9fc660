package fluxstub

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
)

// A look at a branch that did not move costs git seven processes, and most looks are such. Git's dumb protocol
// tells it in one request, which costs the server one process. Whatever else the server answers, git is asked.

// tipAt is the commit of a ref as the server tells it in one plain request; empty where it cannot be told so.
func (r *gitRemote) tipAt(ctx context.Context, ref string) string {
	if r.onlyGit || !strings.HasPrefix(r.url, "http://") || !strings.HasPrefix(ref, "refs/heads/") {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(r.url, "/")+"/info/refs", http.NoBody)
	if err != nil {
		return ""
	}
	if r.authorization != "" {
		req.Header.Set("Authorization", r.authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return ""
	}
	lines := bufio.NewScanner(io.LimitReader(resp.Body, 1<<20))
	for lines.Scan() {
		if commit, name, ok := strings.Cut(lines.Text(), "\t"); ok && name == ref {
			return commit
		}
	}
	return ""
}

// isAt reports whether a mirror's ref is at a commit already.
func isAt(dir, ref, commit string) bool {
	at, err := refIn(dir, ref)
	return err == nil && commit != "" && at == commit
}
