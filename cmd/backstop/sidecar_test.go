//go:build sidecar

package main

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

func TestSidecarUsesWhatDockerLoginLeft(t *testing.T) { TestCheckUsesWhatDockerLoginLeft(t) }

func TestSidecarAsksNoCloud(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
	for _, host := range []string{"123456789012.dkr.ecr.eu-west-1.amazonaws.com", "public.ecr.aws", "acme.azurecr.io"} {
		repository, err := name.NewRepository(host + "/app")
		if err != nil {
			t.Fatal(err)
		}
		if who, err := authn.Resolve(t.Context(), keychain(), repository); err != nil || who != authn.Anonymous {
			t.Errorf("%s is asked as %v, %v", host, who, err)
		}
	}
}
