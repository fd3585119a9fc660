# Backstop is built and tested with Go, git, make and a C compiler (for -race):
# no root, no Docker, nothing installed by hand.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO ?= go
# The tools live in a module of their own: their dependencies never meet Backstop's.
TOOL := $(GO) tool -modfile=scripts/tools/go.mod
# backstop version is the commit or tag that Go itself writes into the binary.
GOBUILD := $(GO) build -buildvcs=auto -trimpath -ldflags "-s -w"
RELEASE := $(GO) run ./scripts/release/cmd
ifndef VERSION
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
endif
IMAGE ?= ghcr.io/backstop-dev/backstop:dev
# ARCHES are the processors that make image builds for.
ARCHES ?= amd64 arm64
PREFIX ?= /usr/local
# TESTFLAGS reach go test in test and unit, e.g. make unit TESTFLAGS='-run Blame -v'.
TESTFLAGS ?=
FUZZTIME ?= 20s
# What is tried with the kinds of older releases of Flux: images of Kustomizations, holds, what Flux cannot apply, and
# images of HelmReleases, which have an inventory since Flux 2.8.
FLUX_TESTS := TestOneImageInTheCommit|TestManualRelease|TestWhatFluxCannotApplyIsToldAndReverted

.PHONY: help
help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Build

.PHONY: build
build: ## Build bin/backstop, the commands, and bin/sidecar, the process in the cluster
	CGO_ENABLED=0 $(GOBUILD) -o bin/ ./cmd/backstop ./cmd/sidecar

.PHONY: install
install: build ## Put backstop, also as kubectl backstop, into PREFIX/bin
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 0755 bin/backstop $(DESTDIR)$(PREFIX)/bin/backstop
	ln -sf backstop $(DESTDIR)$(PREFIX)/bin/kubectl-backstop
	install -m 0755 scripts/kubectl_complete-backstop $(DESTDIR)$(PREFIX)/bin/kubectl_complete-backstop

# The same commit gives the same bytes everywhere: no paths, no time but the commit's.
.PHONY: image
image: ## Build the image for linux/amd64 and arm64 as an OCI layout in dist/image, without Docker
	for arch in $(ARCHES); do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GOBUILD) -o dist/linux-$$arch/backstop ./cmd/sidecar; \
	done
	$(GO) run ./scripts/release/cmd image -o dist/image -name $(IMAGE) -version $(VERSION) \
		-revision "$$(git rev-parse HEAD 2>/dev/null)" -created "$$(git log -1 --format=%ct 2>/dev/null || echo 0)" \
		$(foreach arch,$(ARCHES),linux/$(arch)=dist/linux-$(arch)/backstop)

# Twice, from two folders, and every byte compared. FRESH=1 compiles everything anew the second time.
# KEY=FILE signs with a key at hand; the workflow signs without one.
.PHONY: release
release: ## Build everything of a release of this commit into dist/release, e.g. make release VERSION=v0.1.0
	$(RELEASE) build -version $(VERSION) -o dist/release $(if $(PLATFORMS),-platforms $(PLATFORMS))
	$(RELEASE) check -version $(VERSION) -o dist/release $(if $(PLATFORMS),-platforms $(PLATFORMS)) $(if $(FRESH),-fresh)
	RELEASED=$(CURDIR)/dist/release VERSION=$(VERSION) $(GO) test -tags release -count 1 -run '^TestReleased' $(TESTFLAGS) ./scripts/release
	$(if $(KEY),$(RELEASE) sign -key $(KEY) -o dist/release)

.PHONY: generate
generate: ## Write deep copies and CRDs from the types
	$(TOOL) controller-gen object:headerFile=scripts/boilerplate.go.txt paths=./api/... \
		crd paths=./api/... output:crd:dir=deploy/kustomize/crds

##@ Test

# The control plane is fetched or built before go test starts, where its progress can be seen.
.PHONY: control-plane
control-plane:
	@scripts/control-plane.sh >/dev/null

.PHONY: test
# The integration tests build the sidecar with the race detector. The stand-ins around it run without: they have tests
# of their own, and took a quarter of the processor time with it. They wait more than they work, so that the unit tests
# run beside them, and are printed after.
test: control-plane ## Run unit and integration tests with the race detector
	@echo 'the unit tests run beside the integration tests: each says what it found when it is done' >&2; \
		units=$$(mktemp); failed=0; \
		$(GO) test -race -timeout 60m $(TESTFLAGS) $$($(GO) list ./... | grep -v '/backstop/test/integration$$') >"$$units" 2>&1 & \
		pid=$$!; trap 'kill $$pid 2>/dev/null || true; rm -f "$$units"' EXIT; \
		$(GO) test -timeout 60m $(TESTFLAGS) ./test/integration || failed=1; \
		wait $$pid || failed=1; \
		cat "$$units"; exit $$failed

.PHONY: unit
unit: ## Run the tests that need no control plane
	$(GO) test -race $(TESTFLAGS) $$($(GO) list ./... | grep -v '/backstop/test')

# Apart from test, since a browser is not on every machine.
.PHONY: page
page: control-plane ## Test the stand-in's page in a headless Chromium; PICTURES=DIR writes pictures of every card
	@chromium=$$(scripts/chromium.sh); \
		CHROMIUM=$$chromium PICTURES=$(if $(PICTURES),$(abspath $(PICTURES))) \
		$(GO) test -tags browser -count 1 -timeout 15m $(TESTFLAGS) \
		-run 'Browser|EveryStateIsShown|APersonClicks' ./test/slackstub/page ./test/integration

# A real Gitea with protected branches, which its Go module is built of the first time: minutes.
.PHONY: providers
providers: control-plane ## Test pull requests with a real Gitea, from a refused push to the verified revert
	gitea=$$(scripts/gitea.sh); GITEA=$$gitea $(GO) test -tags providers -count 1 -timeout 15m $(TESTFLAGS) \
		-run RealGitea ./reconcile/deliver ./test/integration

# FLUX=DIR holds Flux's own controllers, notification-controller among them, and their CRDs; FLAGGER=DIR holds flagger
# and its crd.yaml.
.PHONY: controllers
controllers: control-plane ## Test canaries and alerts with the controllers that FLUX=DIR and FLAGGER=DIR hold, Flux's own and Flagger
	FLUX=$(abspath $(FLUX)) FLAGGER=$(abspath $(FLAGGER)) $(GO) test -tags controllers -count 1 -timeout 20m $(TESTFLAGS) \
		-run '^(TestNotificationControllerWakesWhatItNames|TestFlaggerRefusesAndTakesTheRevertUp)$$' ./test/integration

.PHONY: scenarios
scenarios: ## Compare the promised scenarios with the tests that exist
	@scripts/scenarios.sh

.PHONY: demo
demo: control-plane build ## Tell the whole story on a real control plane; KEEP=1 leaves it running, FLUX=DIR runs Flux's own controllers, DELIVERY=PullRequest a real Gitea
	@gitea=$(if $(filter PullRequest,$(DELIVERY)),$$(scripts/gitea.sh)); \
		$(GO) run ./test/demo -sidecar bin/sidecar $(if $(KEEP),-keep) $(if $(FLUX),-flux $(FLUX)) $${gitea:+-gitea $$gitea}

.PHONY: bench
bench: control-plane ## Measure speed and memory, and git in the same run; docs/benchmarks.md says what is measured
	$(GO) test -run '^$$' -bench . -skip Bombs -benchtime 20x -timeout 60m -count 1 $(TESTFLAGS) ./reconcile/gitrepo
	$(GO) test -run '^$$' -bench Bombs -benchtime 1x -timeout 60m -count 1 $(TESTFLAGS) ./reconcile/gitrepo/store
	$(GO) test -run '^$$' -bench . $(TESTFLAGS) ./internal/text ./reconcile/manifest ./notify/slack/card ./notify/slack
	$(GO) test -run '^$$' -bench . -benchtime 10x -count 1 $(TESTFLAGS) ./reconcile/deliver
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 60m -count 1 $(TESTFLAGS) ./gate
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 60m -count 1 $(TESTFLAGS) ./test/bench

# The API server emulates the older versions itself, and takes the kinds of older releases of Flux in place of the
# newest ones. FLUX=DIR holds Flux's own controllers.
.PHONY: support
support: control-plane ## Try every supported Kubernetes, and the kinds of every supported Flux; FLUX=DIR has Flux's own controllers verify and apply the signed artifact
	for version in 1.33 1.34 1.35; do \
		echo "Kubernetes $$version"; \
		KUBERNETES=$$version $(GO) test -count 1 $(TESTFLAGS) ./test/deploy && \
		KUBERNETES=$$version $(GO) test -count 1 $(TESTFLAGS) -run '^TestSidecarStartsWithWhatTheDefaultOverlayGrants$$' ./test/integration || exit; \
	done
	FLUX_APIS=2.7 $(GO) test -count 1 $(TESTFLAGS) -run '^($(FLUX_TESTS))$$' ./test/integration
	FLUX_APIS=2.8 $(GO) test -count 1 $(TESTFLAGS) -run '^($(FLUX_TESTS)|TestHelmValuesRepositoryAndTag)$$' ./test/integration
	$(if $(FLUX),FLUX=$(abspath $(FLUX)) $(GO) test -tags support -count 1 $(TESTFLAGS) -run '^TestFluxVerifiesAndAppliesTheArtifact$$' ./scripts/release)

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME each
	@scripts/fuzz.sh $(FUZZTIME)

# Not part of test: what fails once in many runs is looked for at night.
.PHONY: e2e
e2e: build ## Run Backstop's image on a real node with kubelet and containerd (as root on Linux); FLUX=DIR has Flux's own controllers
	@[ "$$(uname -s)-$$(id -u)" = Linux-0 ] || { echo 'make e2e needs Linux and root: it starts containerd and a kubelet' >&2; exit 1; }
	@scripts/control-plane.sh node >/dev/null
	@$(MAKE) --no-print-directory image ARCHES=$$($(GO) env GOARCH)
	$(if $(FLUX),FLUX=$(abspath $(FLUX))) $(GO) test -tags e2e -count 1 -timeout 60m -v $(TESTFLAGS) ./test/e2e

.PHONY: chaos
chaos: control-plane ## Run N random schedules of faults (N=20 FROM=1), or the one of a SEED
	CHAOS_N=$(or $(N),20) CHAOS_FROM=$(or $(FROM),1) CHAOS_SEED=$(SEED) \
		$(GO) test -race -count 1 -timeout 300m $(TESTFLAGS) -run '^TestChaos$$' ./test/integration

# Two hours stand for a month. OUT=docs/soak writes docs/soak.svg and its numbers, docs/soak.csv.
.PHONY: soak
soak: control-plane ## Have images fail for MINUTES (120) among WORKLOADS (10000), and draw what the sidecar holds
	mkdir -p $(dir $(abspath $(or $(OUT),dist/soak)))
	SOAK_MINUTES=$(or $(MINUTES),120) SOAK_WORKLOADS=$(or $(WORKLOADS),10000) SOAK_OUT=$(abspath $(or $(OUT),dist/soak)) \
		$(GO) test -tags soak -run '^$$' -bench '^BenchmarkSoak$$' -benchtime 1x -timeout 300m -count 1 $(TESTFLAGS) ./test/bench

.PHONY: golden
golden: ## Write the golden files anew
	@scripts/golden.sh

##@ Check

.PHONY: verify
verify: ## Check generated files, format, vet, lint, go.mod, imports, alerts, metrics, workflows and known vulnerabilities
	@scripts/verify.sh

.PHONY: lint
lint: ## Run the linters
	$(TOOL) golangci-lint run ./...

.PHONY: clean
clean: ## Remove what was built; the control plane stays in the user's cache folder
	rm -rf bin dist
