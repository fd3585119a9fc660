package gitrepo

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	fluxsign "github.com/fluxcd/pkg/git/signature"
	"golang.org/x/crypto/ssh"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// gpgKey makes an OpenPGP key, armored: the private one and the public one.
func gpgKey(t *testing.T, passphrase string) (private, public string) {
	t.Helper()
	e, err := openpgp.NewEntity("bot", "", "bot@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var pub, priv bytes.Buffer
	w, err := armor.Encode(&pub, openpgp.PublicKeyType, nil)
	if err == nil {
		err = e.Serialize(w)
	}
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	if passphrase != "" {
		if err := e.EncryptPrivateKeys([]byte(passphrase), nil); err != nil {
			t.Fatal(err)
		}
	}
	w, err = armor.Encode(&priv, openpgp.PrivateKeyType, nil)
	if err == nil {
		err = e.SerializePrivateWithoutSigning(w, nil)
	}
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return priv.String(), pub.String()
}

// signed cuts a commit on the server into its signature and what was signed.
func (w *world) signed(commit string) (signature string, payload []byte) {
	w.Helper()
	raw := w.run(w.bare, "cat-file", "commit", commit) + "\n"
	var kept, sig []string
	in := false
	header, body, _ := strings.Cut(raw, "\n\n")
	for line := range strings.SplitSeq(header, "\n") {
		switch {
		case strings.HasPrefix(line, "gpgsig "):
			in = true
			sig = append(sig, strings.TrimPrefix(line, "gpgsig "))
		case in && strings.HasPrefix(line, " "):
			sig = append(sig, line[1:])
		default:
			in = false
			kept = append(kept, line)
		}
	}
	return strings.Join(sig, "\n"), []byte(strings.Join(kept, "\n") + "\n\n" + body)
}

func TestCommitsAreSignedWithTheAutomationsKey(t *testing.T) {
	t.Parallel()
	private, public := gpgKey(t, "")
	locked, lockedPublic := gpgKey(t, "open sesame")
	sshKey, line, err := gitserver.NewKey("x")
	if err != nil {
		t.Fatal(err)
	}
	_, sshPublic, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
	for _, test := range []struct {
		name   string
		key    reconcile.SigningKey
		public string
	}{
		{"gpg", reconcile.SigningKey{Type: "gpg", Key: []byte(private)}, public},
		{"gpg with a passphrase", reconcile.SigningKey{Type: "gpg", Key: []byte(locked), Passphrase: []byte("open sesame")}, lockedPublic},
		{"ssh", reconcile.SigningKey{Type: "ssh", Key: sshKey}, sshPublic},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, _ := standard(t)
			w.src.Signing, w.src.Verified = &test.key, true
			wish := w.wish(w.blame(query(repo + ":" + tag1)))
			c := w.land(wish)[0].Change
			lift := w.lift(tag2)
			for _, commit := range []string{c.Commit, c.Hold, lift} {
				signature, payload := w.signed(commit)
				var err error
				if test.key.Type == "gpg" {
					_, err = fluxsign.VerifyPGPSignature(signature, payload, test.public)
				} else {
					_, err = fluxsign.VerifySSHSignature(signature, payload, test.public)
				}
				if err != nil {
					t.Errorf("%s: %v\n%s", commit, err, signature)
				}
			}
			w.run(w.bare, "fsck", "--strict")
			if test.key.Type == "ssh" {
				w.gitVerifies(c.Commit, test.public)
			}
		})
	}
}

// gitVerifies asks git itself about an SSH signature.
func (w *world) gitVerifies(commit, public string) {
	w.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		return
	}
	allowed := filepath.Join(w.TempDir(), "allowed")
	if err := os.WriteFile(allowed, []byte("bot@example.com "+public+"\n"), 0o600); err != nil {
		w.Fatal(err)
	}
	w.run(w.bare, "-c", "gpg.format=ssh", "-c", "gpg.ssh.allowedSignersFile="+allowed, "verify-commit", commit)
}

func TestSigningKeysThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	wish := w.wish(w.blame(query(repo + ":" + tag1)))
	locked, public := gpgKey(t, "open sesame")
	sshLocked, err := ssh.MarshalPrivateKeyWithPassphrase(edKey(t), "", []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		key  reconcile.SigningKey
		want string
	}{
		{"a passphrase is missing", reconcile.SigningKey{Type: "gpg", Key: []byte(locked)}, "has a passphrase"},
		{"a passphrase is wrong", reconcile.SigningKey{Type: "gpg", Key: []byte(locked), Passphrase: []byte("close sesame")}, "passphrase is wrong"},
		{"only the public key", reconcile.SigningKey{Type: "gpg", Key: []byte(public)}, "without a private one"},
		{"no SSH key", reconcile.SigningKey{Type: "ssh", Key: []byte("close sesame")}, "no private SSH key"},
		{"an SSH passphrase is missing", reconcile.SigningKey{Type: "ssh", Key: pemOf(sshLocked)}, "passphrase"},
		{"another type", reconcile.SigningKey{Type: "x509"}, "neither gpg nor ssh"},
	} {
		t.Run(test.name, func(t *testing.T) {
			src := w.src
			src.Signing = &test.key
			_, err := w.mirrors.Land(t.Context(), src, []reconcile.Revert{wish})
			why, refused := reconcile.AsRefusal(err)
			if !refused || !strings.Contains(why, test.want) || strings.Contains(why, "close sesame") {
				t.Errorf("land gives %v, want a refusal that says %q", err, test.want)
			}
		})
	}
}

func edKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pemOf(b *pem.Block) []byte { return pem.EncodeToMemory(b) }
