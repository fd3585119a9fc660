package gitrepo

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	fluxsign "github.com/fluxcd/pkg/git/signature"

	"github.com/backstop-dev/backstop/reconcile"
)

// signer makes a signer of the automation's key; nil for none.
func signer(src reconcile.Source) (fluxsign.Signer, error) {
	key := src.Signing
	if key == nil {
		if src.Verified {
			return nil, reconcile.Refuse("GitRepository %s only accepts signed commits (spec.verify), "+
				"and its automation has no signing key: add spec.git.commit.signingKey to the ImageUpdateAutomation", src.Name)
		}
		return nil, nil
	}
	var s fluxsign.Signer
	var err error
	switch key.Type {
	case "gpg", "":
		s, err = gpgSigner(key)
	case "ssh":
		s, err = fluxsign.NewSSHSigner(key.Key, key.Passphrase)
		if err != nil {
			// The library's words may repeat the key.
			err = errors.New("it is no private SSH key that can sign, or the passphrase is wrong")
		}
	default:
		err = errors.New("its type is neither gpg nor ssh")
	}
	if err != nil {
		return nil, reconcile.Refuse("the signing key of the automation of GitRepository %s cannot be used: %w", src.Name,
			err)
	}
	return s, nil
}

// What it may take to open a key by its passphrase: it is the key that says how much, and a stranger's can say two
// terabytes, or thousands of subkeys.
const (
	maxSubkeys  = 16
	maxArgonKiB = 16 // as a power of two
	maxPasses   = 8
	argon2      = 4
)

// openable refuses a key whose passphrase takes more memory or time than any that people make.
func openable(e *openpgp.Entity) error {
	keys := []*packet.PrivateKey{e.PrivateKey}
	for _, sub := range e.Subkeys {
		if sub.PrivateKey != nil {
			keys = append(keys, sub.PrivateKey)
		}
	}
	if len(keys) > 1+maxSubkeys {
		return fmt.Errorf("it has more than %d subkeys", maxSubkeys)
	}
	for _, k := range keys {
		if !k.Encrypted || k.Dummy() {
			continue
		}
		costs, err := passphraseOf(k)
		switch {
		case err != nil:
			return err
		case costs[0] == argon2 && (len(costs) < 20 || costs[17] > maxPasses || costs[19] > maxArgonKiB):
			return fmt.Errorf("its passphrase takes more than %d MiB of memory to try (Argon2)", 1<<maxArgonKiB>>10)
		}
	}
	return nil
}

// passphraseOf is the part of a private key's packet that says how its passphrase is tried, as RFC 9580 has it:
// after the public key, and what is said of the cipher.
func passphraseOf(k *packet.PrivateKey) ([]byte, error) {
	errOdd := errors.New("it is no OpenPGP key that is understood")
	whole, err := contents(k.Serialize)
	if err != nil {
		return nil, errOdd
	}
	public, err := contents(k.PublicKey.Serialize)
	if err != nil || len(whole) <= len(public) {
		return nil, errOdd
	}
	const aead = 253
	rest := whole[len(public):]
	at := 2
	if rest[0] == aead {
		at++
	}
	if k.Version >= 5 {
		at++
	}
	if k.Version >= 6 {
		at++
	}
	if len(rest) <= at {
		return nil, errOdd
	}
	return rest[at:], nil
}

// contents is what a packet holds.
func contents(serialize func(io.Writer) error) ([]byte, error) {
	var b bytes.Buffer
	if err := serialize(&b); err != nil {
		return nil, err
	}
	p, err := packet.NewOpaqueReader(&b).Next()
	if err != nil {
		return nil, err
	}
	return p.Contents, nil
}

func gpgSigner(key *reconcile.SigningKey) (fluxsign.Signer, error) {
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(key.Key))
	if err != nil || len(ring) == 0 {
		return nil, errors.New("it is no armored OpenPGP key")
	}
	e := ring[0]
	if e.PrivateKey == nil {
		return nil, errors.New("it is a public OpenPGP key, without a private one")
	}
	if e.PrivateKey.Encrypted {
		if len(key.Passphrase) == 0 {
			return nil, errors.New("it has a passphrase, and the Secret has none")
		}
		if err := openable(e); err != nil {
			return nil, err
		}
		if err := e.DecryptPrivateKeys(key.Passphrase); err != nil {
			return nil, errors.New("the passphrase is wrong")
		}
	}
	return fluxsign.NewOpenPGPSigner(e)
}
