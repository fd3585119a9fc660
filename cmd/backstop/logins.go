package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/authn/github"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/google"

	"github.com/backstop-dev/backstop/reconcile"
)

// logins find how to ask for an image: what docker login left behind, and what the cloud gives.
type logins struct {
	keychain authn.Keychain
	ca       []byte
	insecure []string

	known sync.Map // repository → *login
}

// login is the access to one repository, found once.
type login struct {
	once   sync.Once
	access reconcile.Access
}

// access finds how to ask for an image.
func (l *logins) access(ctx context.Context, image string) reconcile.Access {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return reconcile.Access{}
	}
	found, _ := l.known.LoadOrStore(named.Name(), &login{})
	at := found.(*login)
	at.once.Do(func() { at.access = l.find(ctx, named) })
	return at.access
}

func (l *logins) find(ctx context.Context, named reference.Named) reconcile.Access {
	domain := reference.Domain(named)
	a := reconcile.Access{CA: l.ca, Insecure: slices.Contains(l.insecure, domain)}
	repository, err := name.NewRepository(named.Name())
	if err != nil {
		return a
	}
	who, err := authn.Resolve(ctx, l.keychain, repository)
	var config *authn.AuthConfig
	if err == nil && who != authn.Anonymous {
		config, err = authn.Authorization(ctx, who)
	}
	var none *noLogin
	if errors.As(err, &none) {
		// Much is public: it is asked for without a login.
		a.Missing = none.sentence
		return a
	}
	if err != nil {
		a.Missing = fmt.Sprintf("the credentials for %s cannot be read: check docker's config.json and its credential helper",
			domain)
		return a
	}
	if config == nil || *config == (authn.AuthConfig{}) {
		return a
	}
	data, err := json.Marshal(map[string]any{"auths": map[string]any{domain: config}})
	if err == nil {
		a.DockerConfigs = [][]byte{data}
	}
	return a
}

// keychain is where credentials for registries are looked for: docker's configuration with its credential helpers, the
// token of a GitHub workflow, Google's metadata server or gcloud, and what AWS and Azure have.
func keychain() authn.Keychain {
	return authn.NewMultiKeychain(append([]authn.Keychain{
		authn.DefaultKeychain, github.Keychain, google.Keychain,
	}, clouds()...)...)
}
