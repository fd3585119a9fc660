package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	fluxgit "github.com/fluxcd/pkg/git"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
)

// overSSH prepares sessions over SSH. go-git's own transport shakes hands without a time limit, reads the
// configuration of the user that runs the process and loses what the server answers; the protocol itself is go-git's.
func (r *Remote) overSSH(u *url.URL, opts *fluxgit.AuthOptions, proxy *url.URL, dir string) error {
	signer, err := ssh.ParsePrivateKey(opts.Identity)
	if missing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &missing) {
		if opts.Password == "" {
			return errors.New("identity in its Secret has a passphrase, and the Secret has no password")
		}
		signer, err = ssh.ParsePrivateKeyWithPassphrase(opts.Identity, []byte(opts.Password))
	}
	if err != nil {
		return errors.New("identity in its Secret is no private SSH key, or password is not its passphrase")
	}
	addr := net.JoinHostPort(u.Hostname(), u.Port())
	if u.Port() == "" {
		addr = net.JoinHostPort(u.Hostname(), "22")
	}
	known, err := knownHosts(opts.KnownHosts, dir)
	if err != nil {
		return err
	}
	config := &ssh.ClientConfig{
		User: opts.Username, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: known.HostKeyCallback(), HostKeyAlgorithms: known.HostKeyAlgorithms(addr),
	}
	open := func(ctx context.Context, service string) (*sshSession, error) {
		r.Meter.begin()
		s, err := openSSH(ctx, addr, config, proxy, service+" "+quoted(u.Path))
		if err == nil {
			s.branch, s.of, s.meter = r.Branch.String(), r.of, r.Meter
		}
		return s, err
	}
	r.upload = func(ctx context.Context) (transport.UploadPackSession, error) {
		return open(ctx, transport.UploadPackServiceName)
	}
	r.receive = func(ctx context.Context) (transport.ReceivePackSession, error) {
		return open(ctx, transport.ReceivePackServiceName)
	}
	return nil
}

// knownHosts reads known_hosts; the library only reads files.
func knownHosts(data []byte, dir string) (*knownhosts.HostKeyDB, error) {
	f, err := os.CreateTemp(dir, "known_hosts-*")
	if err != nil {
		return nil, fmt.Errorf("write known_hosts: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if _, err = f.Write(data); err == nil {
		err = f.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("write known_hosts: %w", err)
	}
	db, err := knownhosts.NewDB(f.Name())
	if err != nil {
		return nil, errors.New("known_hosts in its Secret does not parse")
	}
	return db, nil
}

// quoted is a path for the shell that some servers run, as git quotes it.
func quoted(path string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(path) + "'"
}

func openSSH(ctx context.Context, addr string, config *ssh.ClientConfig, via *url.URL,
	command string) (*sshSession, error) {
	conn, err := dialTCP(ctx, addr, via)
	if err != nil {
		return nil, err
	}
	s := &sshSession{conn: conn}
	// The handshake knows no context; a closed connection ends it, and everything after it.
	s.release = context.AfterFunc(ctx, func() { _ = conn.Close() })
	if err := s.start(addr, config, command); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// sshSession is one git command on the server.
type sshSession struct {
	conn    net.Conn
	client  *ssh.Client
	in      io.WriteCloser
	out     io.Reader
	session *ssh.Session
	stderr  capped
	refs    *packp.AdvRefs
	release func() bool
	// branch is the only reference that is let through.
	branch, of string
	meter      *meter
}

func (s *sshSession) start(addr string, config *ssh.ClientConfig, command string) error {
	c, chans, reqs, err := ssh.NewClientConn(s.conn, addr, config)
	if err != nil {
		return err
	}
	s.client = ssh.NewClient(c, chans, reqs)
	if s.session, err = s.client.NewSession(); err != nil {
		return fmt.Errorf("open a session: %w", err)
	}
	if s.in, err = s.session.StdinPipe(); err != nil {
		return err
	}
	if s.out, err = s.session.StdoutPipe(); err != nil {
		return err
	}
	s.session.Stderr = &s.stderr
	return s.session.Start(command)
}

// AdvertisedReferences reads what the server offers.
func (s *sshSession) AdvertisedReferences() (*packp.AdvRefs, error) {
	return s.AdvertisedReferencesContext(context.Background())
}

// AdvertisedReferencesContext reads what the server offers. The context given at the opening ends it.
func (s *sshSession) AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error) {
	if s.refs != nil {
		return s.refs, nil
	}
	ar := packp.NewAdvRefs()
	err := ar.Decode(&advertised{r: s.out, branch: s.branch, of: s.of, meter: s.meter})
	if err != nil && !errors.Is(err, packp.ErrEmptyAdvRefs) {
		return nil, s.said(err)
	}
	transport.FilterUnsupportedCapabilities(ar.Capabilities)
	s.refs = ar
	return ar, nil
}

// said prefers the server's words to what became of them in the protocol.
func (s *sshSession) said(err error) error {
	var line *pktline.ErrorLine
	if errors.As(err, &line) {
		return line
	}
	done := make(chan struct{})
	go func() { _ = s.session.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
	}
	if words := s.stderr.String(); strings.TrimSpace(words) != "" {
		return &serverSaid{words}
	}
	return err
}

// UploadPack asks for a pack.
func (s *sshSession) UploadPack(_ context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	if req.IsEmpty() {
		return nil, transport.ErrEmptyUploadPackRequest
	}
	if err := req.Validate(); err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	err := errors.Join(req.UploadRequest.Encode(&buf), req.UploadHaves.Encode(&buf, true),
		pktline.NewEncoder(&buf).EncodeString("done\n"))
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	if _, err := s.in.Write(buf.Bytes()); err != nil {
		return nil, s.said(err)
	}
	if err := s.in.Close(); err != nil {
		return nil, s.said(err)
	}
	res := packp.NewUploadPackResponse(req)
	if err := res.Decode(io.NopCloser(&metered{r: s.out, meter: s.meter})); err != nil {
		return nil, s.said(err)
	}
	return res, nil
}

// ReceivePack sends a pack.
func (s *sshSession) ReceivePack(_ context.Context, req *packp.ReferenceUpdateRequest) (*packp.ReportStatus, error) {
	if err := req.Encode(s.in); err != nil {
		return nil, s.said(err)
	}
	if err := s.in.Close(); err != nil {
		return nil, s.said(err)
	}
	var out io.Reader = &metered{r: s.out, meter: s.meter}
	if req.Capabilities.Supports(capability.Sideband64k) {
		d := sideband.NewDemuxer(sideband.Sideband64k, out)
		d.Progress = req.Progress
		out = d
	}
	report := packp.NewReportStatus()
	if err := report.Decode(out); err != nil {
		return nil, s.said(err)
	}
	// Hooks may still run on the server; to leave now would cut them off.
	_, _ = io.Copy(io.Discard, out)
	return report, report.Error()
}

// Close ends the session and the connection.
func (s *sshSession) Close() error {
	s.release()
	if s.session != nil {
		_ = s.session.Close()
	}
	if s.client != nil {
		_ = s.client.Close()
	}
	_ = s.conn.Close()
	return nil
}

// capped keeps the first kilobytes of what is written to it.
type capped struct {
	mu  sync.Mutex
	buf []byte
}

const maxWords = 8 << 10

// Write takes everything and keeps what fits.
func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf = append(c.buf, p[:min(len(p), maxWords-len(c.buf))]...)
	return len(p), nil
}

func (c *capped) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.buf)
}
