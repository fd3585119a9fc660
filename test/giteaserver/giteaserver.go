// Package giteaserver runs a real Gitea on loopback, with an administrator and users whose passwords are known. It is
// made for tests: what the stub of a provider answers is held against it. scripts/gitea.sh builds the server.
package giteaserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"

	"github.com/backstop-dev/backstop/test/process"
)

// Password is every user's.
const Password = "correct-horse-0123456789"

const (
	admin = "root-of-all"
	// readyWithin is how long the server may take to answer.
	readyWithin = 2 * time.Minute
)

// Options of a server.
type Options struct {
	// Bin is the folder that scripts/gitea.sh prints.
	Bin string
	// Dir is a folder for all that the server keeps, its log among it.
	Dir string
}

// Server is a running Gitea.
type Server struct {
	*process.Process
	// URL of the server, without a slash at its end.
	URL string

	repositories string
}

// Start sets a server up in an empty folder and runs it until Stop.
func Start(ctx context.Context, o Options) (*Server, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it listens on TCP
	if err := l.Close(); err != nil {
		return nil, fmt.Errorf("free the port: %w", err)
	}
	s := &Server{URL: fmt.Sprintf("http://127.0.0.1:%d", port), repositories: filepath.Join(o.Dir, "repositories")}
	config := filepath.Join(o.Dir, "app.ini")
	if err := os.WriteFile(config, []byte(o.config(port)), 0o600); err != nil {
		return nil, fmt.Errorf("write the configuration: %w", err)
	}
	for _, args := range [][]string{
		{"migrate"},
		{"admin", "user", "create", "--username", admin, "--password", Password, "--email", admin + "@example.com",
			"--admin", "--must-change-password=false"},
	} {
		if out, err := o.command(ctx, config, args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("gitea %s: %w: %s", args[0], err, bytes.TrimSpace(out))
		}
	}
	log, err := os.Create(filepath.Join(o.Dir, "gitea.log"))
	if err != nil {
		return nil, fmt.Errorf("make the server's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	// The server outlives the context of whoever starts it: Stop ends it.
	cmd := o.command(context.WithoutCancel(ctx), config, "web")
	cmd.Stdout, cmd.Stderr = log, log
	if s.Process, err = process.Start("gitea", cmd); err != nil {
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		s.Kill()
		return nil, err
	}
	return s, nil
}

// config is a server that needs nothing of the machine but git, and reaches nothing beyond it.
func (o Options) config(port int) string {
	return fmt.Sprintf(`APP_NAME = Gitea
RUN_MODE = prod
WORK_PATH = %[1]s
[server]
STATIC_ROOT_PATH = %[2]s
HTTP_ADDR = 127.0.0.1
HTTP_PORT = %[3]d
ROOT_URL = http://127.0.0.1:%[3]d/
OFFLINE_MODE = true
DISABLE_SSH = true
LFS_START_SERVER = false
[database]
DB_TYPE = sqlite3
PATH = %[1]s/gitea.db
SQLITE_JOURNAL_MODE = WAL
SQLITE_TIMEOUT = 20000
[repository]
ROOT = %[1]s/repositories
[security]
INSTALL_LOCK = true
SECRET_KEY = for-tests-alone
INTERNAL_TOKEN = for-tests-alone-too
PASSWORD_HASH_ALGO = pbkdf2_v1
[oauth2]
ENABLED = false
JWT_SECRET = 0123456789abcdefghijklmnopqrstuvwxyzABCDEFG
[indexer]
ISSUE_INDEXER_TYPE = db
[mailer]
ENABLED = false
[actions]
ENABLED = false
[service]
DISABLE_REGISTRATION = true
[cron]
ENABLED = false
[log]
MODE = console
LEVEL = Info
`, o.Dir, filepath.Join(o.Bin, "static"), port)
}

func (o Options) command(ctx context.Context, config string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(o.Bin, "gitea"), append([]string{"--config", config}, args...)...)
	cmd.Dir = o.Dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + o.Dir, "USER=" + os.Getenv("USER"), "LC_ALL=C",
		"GITEA_WORK_DIR=" + o.Dir, "GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT=true"}
	return cmd
}

func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	last := errors.New("nothing was asked")
	for ; ; time.Sleep(50 * time.Millisecond) {
		select {
		case <-s.Done():
			return fmt.Errorf("the server has ended: %w", s.Err())
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready: %w", last)
		default:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/api/healthz", nil)
		if err != nil {
			return fmt.Errorf("make a request: %w", err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			last = err
			continue
		}
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return nil
		}
		last = fmt.Errorf("it says %s", res.Status)
	}
}

// As is the API as a user has it.
func (s *Server) As(ctx context.Context, user string) (*gitea.Client, error) {
	c, err := gitea.NewClient(s.URL, gitea.SetContext(ctx), gitea.SetBasicAuth(user, Password), gitea.SetGiteaVersion(""))
	if err != nil {
		return nil, fmt.Errorf("reach the API as %s: %w", user, err)
	}
	return c, nil
}

// Admin is the API as the administrator has it, who owns what is created.
func (s *Server) Admin(ctx context.Context) (*gitea.Client, error) { return s.As(ctx, admin) }

// Users makes users.
func (s *Server) Users(ctx context.Context, names ...string) error {
	api, err := s.Admin(ctx)
	if err != nil {
		return err
	}
	stays := false
	for _, name := range names {
		_, _, err := api.AdminCreateUser(gitea.CreateUserOption{Username: name, Email: name + "@example.com",
			Password: Password, MustChangePassword: &stays})
		if err != nil {
			return fmt.Errorf("make the user %s: %w", name, err)
		}
	}
	return nil
}

// Repository is a repository of a server.
type Repository struct {
	// Owner and Name make its path.
	Owner, Name string
	// Dir is the folder of the bare repository.
	Dir string

	server *Server
}

// Create makes an empty repository that squashes, into which users may write. It has a label for Backstop.
func (s *Server) Create(ctx context.Context, name string, writers ...string) (*Repository, error) {
	api, err := s.Admin(ctx)
	if err != nil {
		return nil, err
	}
	if _, _, err := api.CreateRepo(gitea.CreateRepoOption{Name: name, Private: true, DefaultBranch: "main"}); err != nil {
		return nil, fmt.Errorf("make the repository %s: %w", name, err)
	}
	squash, no := gitea.MergeStyleSquash, false
	if _, _, err := api.EditRepo(admin, name, gitea.EditRepoOption{DefaultMergeStyle: &squash, AllowMerge: &no,
		AllowRebase: &no, AllowRebaseMerge: &no, AllowFastForwardOnlyMerge: &no}); err != nil {
		return nil, fmt.Errorf("set %s up: %w", name, err)
	}
	write := gitea.AccessModeWrite
	for _, user := range writers {
		if _, err := api.AddCollaborator(admin, name, user, gitea.AddCollaboratorOption{Permission: &write}); err != nil {
			return nil, fmt.Errorf("let %s write to %s: %w", user, name, err)
		}
	}
	if _, _, err := api.CreateLabel(admin, name, gitea.CreateLabelOption{Name: "backstop", Color: "#000000"}); err != nil {
		return nil, fmt.Errorf("make a label in %s: %w", name, err)
	}
	return &Repository{Owner: admin, Name: name, Dir: filepath.Join(s.repositories, admin, name+".git"), server: s}, nil
}

// Path is where the server has the repository.
func (r *Repository) Path() string { return "/" + r.Owner + "/" + r.Name + ".git" }

// URL is what a user clones.
func (r *Repository) URL(user string) string {
	return strings.Replace(r.server.URL, "://", "://"+user+":"+Password+"@", 1) + r.Path()
}

// Protect protects a branch, in the way that change says.
func (r *Repository) Protect(ctx context.Context, branch string, change func(*gitea.CreateBranchProtectionOption),
) error {
	api, err := r.server.Admin(ctx)
	if err != nil {
		return err
	}
	rule := gitea.CreateBranchProtectionOption{RuleName: branch}
	change(&rule)
	// There need not be one.
	_, _ = api.DeleteBranchProtection(r.Owner, r.Name, branch)
	if _, _, err := api.CreateBranchProtection(r.Owner, r.Name, rule); err != nil {
		return fmt.Errorf("protect %s: %w", branch, err)
	}
	return nil
}
