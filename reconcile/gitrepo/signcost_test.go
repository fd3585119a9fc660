package gitrepo

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ProtonMail/go-crypto/openpgp/s2k"

	"github.com/backstop-dev/backstop/reconcile"
)

// A key says itself how much memory and time its passphrase takes, and a tenant's may say two terabytes.
func TestAKeyWhosePassphraseTakesTooMuchIsNotOpened(t *testing.T) {
	const passphrase = "open sesame"
	argon := &packet.Config{AEADConfig: &packet.AEADConfig{}, S2KConfig: &s2k.Config{S2KMode: s2k.Argon2S2K,
		Argon2Config: &s2k.Argon2Config{NumberOfPasses: 3, DegreeOfParallelism: 7, Memory: 64}}}
	v6 := func(c packet.Config) *packet.Config { c.V6Keys = true; return &c }
	memory := func(exp byte) func([]byte) []byte {
		return func(raw []byte) []byte { return bytes.Replace(raw, []byte{3, 7, 6}, []byte{3, 7, exp}, -1) }
	}
	same := func(raw []byte) []byte { return raw }
	for name, c := range map[string]struct {
		config  *packet.Config
		change  func([]byte) []byte
		subkeys int
		refused string
	}{
		"as gpg makes it":        {nil, same, 0, ""},
		"a little Argon2":        {argon, same, 0, ""},
		"two terabytes":          {argon, memory(31), 0, "takes more than 64 MiB"},
		"two terabytes, in v6":   {v6(*argon), memory(31), 0, "takes more than 64 MiB"},
		"64 MiB, 255 times":      {argon, func(raw []byte) []byte { return bytes.Replace(raw, []byte{3, 7, 6}, []byte{255, 7, 16}, -1) }, 0, "takes more than 64 MiB"},
		"a little Argon2, in v6": {v6(*argon), same, 0, ""},
		"many subkeys":           {nil, same, 20, "more than 16 subkeys"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := openpgp.NewEntity("bot", "", "bot@example.com", c.config)
			if err != nil {
				t.Fatal(err)
			}
			for range c.subkeys {
				if err := e.AddSigningSubkey(nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := e.EncryptPrivateKeys([]byte(passphrase), c.config); err != nil {
				t.Fatal(err)
			}
			var raw, key bytes.Buffer
			if err := e.SerializePrivateWithoutSigning(&raw, nil); err != nil {
				t.Fatal(err)
			}
			w, err := armor.Encode(&key, openpgp.PrivateKeyType, nil)
			if err == nil {
				_, err = w.Write(c.change(raw.Bytes()))
			}
			if err != nil || w.Close() != nil {
				t.Fatal(err)
			}
			_, err = signer(reconcile.Source{Signing: &reconcile.SigningKey{Type: "gpg", Key: key.Bytes(), Passphrase: []byte(passphrase)}})
			if (err != nil) != (c.refused != "") || err != nil && !strings.Contains(err.Error(), c.refused) {
				t.Errorf("it says %v, want %q", err, c.refused)
			}
		})
	}
}
