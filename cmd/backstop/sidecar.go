//go:build sidecar

package main

import "github.com/google/go-containerregistry/pkg/authn"

// clouds are none: the SDKs of clouds are large, and the sidecar asks registries with the Secrets of the cluster.
func clouds() []authn.Keychain { return nil }
