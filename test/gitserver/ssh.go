package gitserver

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// SSHServer is a running SSH server that knows two commands.
type SSHServer struct {
	// URL without a slash at its end.
	URL string
	// Identity is the private key that is let in, in PEM; KnownHosts the line that names the server's key.
	Identity, KnownHosts []byte

	listener net.Listener
	root     string
	config   *ssh.ServerConfig
	mu       sync.Mutex
	conns    map[net.Conn]bool
}

// StartSSH serves the repositories below a folder until Close. passphrase encrypts the key that is let in; empty
// leaves it plain.
func StartSSH(root, passphrase string) (*SSHServer, error) {
	clientPEM, client, err := newKey(passphrase)
	if err != nil {
		return nil, err
	}
	_, host, err := newKey("")
	if err != nil {
		return nil, err
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if c.User() == "git" && bytes.Equal(key.Marshal(), client.PublicKey().Marshal()) {
			return nil, nil
		}
		return nil, errors.New("unknown key")
	}}
	config.AddHostKey(host)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	addr := l.Addr().String()
	s := &SSHServer{
		URL: "ssh://git@" + addr, Identity: clientPEM, listener: l, root: root, config: config, conns: map[net.Conn]bool{},
		KnownHosts: []byte(knownhosts.Line([]string{knownhosts.Normalize(addr)}, host.PublicKey()) + "\n"),
	}
	go s.serve()
	return s, nil
}

// NewKey makes a key pair: the private key in PEM, and the line that names the public key as a host's at addr.
func NewKey(addr string) (identity, knownHostsLine []byte, err error) {
	identity, signer, err := newKey("")
	if err != nil {
		return nil, nil, err
	}
	return identity, []byte(knownhosts.Line([]string{knownhosts.Normalize(addr)}, signer.PublicKey()) + "\n"), nil
}

func newKey(passphrase string) ([]byte, ssh.Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("encode a key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("use a key: %w", err)
	}
	return pem.EncodeToMemory(block), signer, nil
}

// Addr is host:port.
func (s *SSHServer) Addr() string { return s.listener.Addr().String() }

// Close stops the server and its connections.
func (s *SSHServer) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
	return s.listener.Close()
}

func (s *SSHServer) serve() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		go s.connection(c)
	}
}

func (s *SSHServer) connection(c net.Conn) {
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		_ = c.Close()
	}()
	_, chans, reqs, err := ssh.NewServerConn(c, s.config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(reqs)
	for ch := range chans {
		if ch.ChannelType() != "session" {
			_ = ch.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		channel, requests, err := ch.Accept()
		if err != nil {
			return
		}
		go s.session(channel, requests)
	}
}

func (s *SSHServer) session(ch ssh.Channel, requests <-chan *ssh.Request) {
	defer func() { _ = ch.Close() }()
	for r := range requests {
		if r.Type != "exec" {
			_ = r.Reply(false, nil)
			continue
		}
		var payload struct{ Command string }
		if err := ssh.Unmarshal(r.Payload, &payload); err != nil {
			_ = r.Reply(false, nil)
			return
		}
		_ = r.Reply(true, nil)
		code := s.run(ch, payload.Command)
		_, _ = ch.SendRequest("exit-status", false, binary.BigEndian.AppendUint32(nil, code))
		return
	}
}

func (s *SSHServer) run(ch ssh.Channel, command string) uint32 {
	service, quoted, _ := strings.Cut(command, " ")
	path := strings.Trim(quoted, "'")
	if service != "git-upload-pack" && service != "git-receive-pack" {
		_, _ = io.WriteString(ch.Stderr(), "unknown command\n")
		return 127
	}
	dir := filepath.Join(s.root, filepath.FromSlash(filepath.Clean("/"+path)))
	cmd := exec.CommandContext(context.Background(), "git", strings.TrimPrefix(service, "git-"), dir)
	cmd.Env = Env()
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	in, err := cmd.StdinPipe()
	if err != nil {
		return 1
	}
	if err := cmd.Start(); err != nil {
		return 1
	}
	// The command may end while the client still holds its end open.
	go func() {
		_, _ = io.Copy(in, ch)
		_ = in.Close()
	}()
	if err := cmd.Wait(); err != nil {
		return 1
	}
	return 0
}
