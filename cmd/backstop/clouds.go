package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/containers/azcontainerregistry"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/smithy-go"
	"github.com/google/go-containerregistry/pkg/authn"
)

// clouds are the keychains of the registries that only let in who is known to their cloud. The sidecar, which asks a
// registry with the Secrets of the cluster, is built without them.
func clouds() []authn.Keychain {
	return []authn.Keychain{newAmazon(), newAzure(nil)}
}

// cloud is the keychain of one cloud: it asks the cloud once for each of its registries, and for others not at all.
type cloud struct {
	registry *regexp.Regexp
	login    func(ctx context.Context, match []string) (authn.AuthConfig, error)
	// patience bounds how long credentials are looked for: where there are none, a metadata server may never answer.
	patience time.Duration
	// name of the cloud, and what to do where it gives no login.
	name, hint string

	known sync.Map // registry → func() (authn.Authenticator, error)
}

// Resolve implements authn.Keychain.
func (c *cloud) Resolve(r authn.Resource) (authn.Authenticator, error) {
	return c.ResolveContext(context.Background(), r)
}

// ResolveContext implements authn.ContextKeychain.
func (c *cloud) ResolveContext(ctx context.Context, r authn.Resource) (authn.Authenticator, error) {
	host := r.RegistryStr()
	match := c.registry.FindStringSubmatch(host)
	if match == nil {
		return authn.Anonymous, nil
	}
	once, _ := c.known.LoadOrStore(host, sync.OnceValues(func() (authn.Authenticator, error) {
		ctx, cancel := context.WithTimeout(ctx, c.patience)
		defer cancel()
		who, err := c.login(ctx, match)
		if err != nil {
			return nil, &noLogin{fmt.Sprintf("%s gave no login to %s%s: %s", c.name, host, reason(err), c.hint)}
		}
		return authn.FromConfig(who), nil
	}))
	return once.(func() (authn.Authenticator, error))()
}

// reason is what of an error is safe to say: all of it may quote credentials.
func reason(err error) string {
	code := ""
	var profile config.SharedConfigProfileNotExistError
	var amazon smithy.APIError
	var azure *azcore.ResponseError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return " in time"
	case errors.As(err, &profile):
		return fmt.Sprintf(" (there is no profile %q)", profile.Profile)
	case errors.As(err, &amazon):
		code = amazon.ErrorCode()
	case errors.As(err, &azure):
		code = azure.ErrorCode
	}
	if !codeWord.MatchString(code) {
		return ""
	}
	return " (" + code + ")"
}

var codeWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.]{1,60}$`)

// amazonHost are the registries of Amazon ECR in all partitions, with their account and region, and the public one.
var amazonHost = regexp.MustCompile(`^(?:\d{12}\.dkr[.-]ecr(-fips)?\.([a-z0-9-]+)\.` +
	`(?:amazonaws\.(?:com(?:\.cn)?|eu)|on\.(?:aws|amazonwebservices\.com\.cn)|sc2s\.sgov\.gov|c2s\.ic\.gov|` +
	`cloud\.adc-e\.uk|csp\.hci\.ic\.gov)|public\.ecr\.aws)$`)

// newAmazon finds credentials as the AWS CLI does: environment, profiles, SSO, web identity, metadata server.
func newAmazon() *cloud {
	return &cloud{
		registry: amazonHost, login: amazonLogin, patience: 5 * time.Second, name: "AWS",
		hint: "run `aws sso login` or `aws configure`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
	}
}

func amazonLogin(ctx context.Context, match []string) (authn.AuthConfig, error) {
	none := authn.AuthConfig{}
	region := match[2]
	public := region == ""
	if public {
		region = "us-east-1" // which is where the public registry hands out its tokens
	}
	options := []func(*config.LoadOptions) error{config.WithRegion(region)}
	if match[1] != "" {
		options = append(options, config.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled))
	}
	found, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return none, fmt.Errorf("read AWS configuration: %w", err)
	}
	var token *string
	if public {
		out, err := ecrpublic.NewFromConfig(found).GetAuthorizationToken(ctx, nil)
		if err != nil {
			return none, fmt.Errorf("ask ECR Public for a login: %w", err)
		}
		if out.AuthorizationData != nil {
			token = out.AuthorizationData.AuthorizationToken
		}
	} else {
		out, err := ecr.NewFromConfig(found).GetAuthorizationToken(ctx, nil)
		if err != nil {
			return none, fmt.Errorf("ask ECR for a login: %w", err)
		}
		for _, data := range out.AuthorizationData {
			token = data.AuthorizationToken
		}
	}
	pair, err := base64.StdEncoding.DecodeString(aws.ToString(token))
	if err != nil {
		return none, errors.New("the login that ECR gave is not base64")
	}
	user, password, ok := strings.Cut(string(pair), ":")
	if !ok {
		return none, errors.New("the login that ECR gave is no user and password")
	}
	return authn.AuthConfig{Username: user, Password: password}, nil
}

var azureHost = regexp.MustCompile(`^[a-z0-9-]+\.azurecr\.(?:io|cn|us)$`)

const (
	// azureScope is what a token of Entra ID is asked for: registries, and nothing else of Azure.
	azureScope = "https://containerregistry.azure.net/.default"
	// azureUser is who logs in with a token instead of a password.
	azureUser = "00000000-0000-0000-0000-000000000000"
)

// newAzure finds credentials as Azure's libraries do: environment, workload and managed identity, `az login`. A nil
// transport is the usual one.
func newAzure(transport policy.Transporter) *cloud {
	options := azcore.ClientOptions{Transport: transport}
	return &cloud{
		registry: azureHost,
		login: func(ctx context.Context, match []string) (authn.AuthConfig, error) {
			return azureLogin(ctx, match[0], options)
		},
		// The Azure CLI is slow to start.
		patience: 10 * time.Second, name: "Azure",
		hint: "run `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
	}
}

func azureLogin(ctx context.Context, host string, options azcore.ClientOptions) (authn.AuthConfig, error) {
	none := authn.AuthConfig{}
	identity, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
		ClientOptions: options,
	})
	if err != nil {
		return none, fmt.Errorf("read Azure configuration: %w", err)
	}
	token, err := identity.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{azureScope}})
	if err != nil {
		return none, fmt.Errorf("ask Entra ID for a token: %w", err)
	}
	registry, err := azcontainerregistry.NewAuthenticationClient("https://"+host,
		&azcontainerregistry.AuthenticationClientOptions{ClientOptions: options})
	if err != nil {
		return none, fmt.Errorf("reach %s: %w", host, err)
	}
	out, err := registry.ExchangeAADAccessTokenForACRRefreshToken(ctx,
		azcontainerregistry.PostContentSchemaGrantTypeAccessToken, host,
		&azcontainerregistry.AuthenticationClientExchangeAADAccessTokenForACRRefreshTokenOptions{
			AccessToken: &token.Token,
		})
	if err != nil {
		return none, fmt.Errorf("ask %s for a login: %w", host, err)
	}
	if out.RefreshToken == nil {
		return none, fmt.Errorf("%s gave no login", host)
	}
	return authn.AuthConfig{Username: azureUser, Password: *out.RefreshToken}, nil
}

// noLogin is a registry of a cloud that gave no login, in a sentence without a secret.
type noLogin struct{ sentence string }

func (e *noLogin) Error() string { return e.sentence }
