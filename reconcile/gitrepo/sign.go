package gitrepo

import (
	"bytes"
	"errors"

	"github.com/ProtonMail/go-crypto/openpgp"
	fluxsign "github.com/fluxcd/pkg/git/signature"

	"github.com/backstop-dev/backstop/reconcile"
)

// signer makes a signer of the automation's key; nil for none.
func signer(src reconcile.Source) (fluxsign.Signer, error) {
	key := src.Signing
	if key == nil {
		if src.Verified {
			return nil, reconcile.Refuse("GitRepository %s only accepts signed commits (spec.verify), "+
				"and its automation has no "+
				"signing key: add spec.git.commit.signingKey to the ImageUpdateAutomation", src.Name)
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
		if err := e.DecryptPrivateKeys(key.Passphrase); err != nil {
			return nil, errors.New("the passphrase is wrong")
		}
	}
	return fluxsign.NewOpenPGPSigner(e)
}
