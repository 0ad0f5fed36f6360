# holdfast's workshop. `make help` lists every target; `make run` and `make test` need
# nothing prepared but Go on a Debian machine.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
EPOCH   ?= $(shell git log -1 --format=%ct 2>/dev/null)
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null)
ARGS    ?=

# One set of build flags for everything that leaves this checkout. The tag keeps gRPC's
# tracing page out, whose templates would make the linker keep every method there is.
TAGS     := grpcnotrace,nethttpomithttp2
LDFLAGS  := -s -w -buildid= -X main.version=$(VERSION) -X main.built=$(EPOCH)
GO_BUILD  = CGO_ENABLED=0 GOOS=linux $(GO) build -trimpath -buildvcs=false -tags $(TAGS) -ldflags '$(LDFLAGS)'
# Tests need neither vet, which has had its own turn, nor what a debugger reads.
GO_TEST   = $(GO) test -vet=off -ldflags=-w -tags $(TAGS) -timeout 25m $(TESTFLAGS)
TESTFLAGS ?=

# With the same flags everywhere a package is compiled once for vet, lint, tests and the
# binary; only the race detector wants another build, with cgo.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath

# The sample model's image, as build/demo's workload names it, and the burner's, as
# build/bench's do.
IMAGE  := holdfast.example/digits:1
BURNER := holdfast.example/burner:1
TOOL   := holdfast.example/tool:1
# The agent's own.
AGENT  := holdfast.example/holdfast:1

PROVISION := build/provision/provision.sh

# What is shipped, what is started before (emulated; there is no good emulator for 386),
# and what has to compile.
SHIPPED := amd64 arm64 armv7
STARTED := $(SHIPPED) armv6 riscv64
ARCHES  := $(STARTED) 386
env-amd64   := GOARCH=amd64 GOAMD64=v1
env-arm64   := GOARCH=arm64
env-armv7   := GOARCH=arm GOARM=7
env-armv6   := GOARCH=arm GOARM=6
env-riscv64 := GOARCH=riscv64
env-386     := GOARCH=386

# A package belongs to the integration tests when its tests reach build/privated, which
# starts a real containerd. Those run one package at a time; the rest run side by side.
define sort-packages
all=$$($(GO) list -tags $(TAGS) ./... | sort); \
integration=$$($(GO) list -test -tags $(TAGS) -f '{{.ImportPath}}:{{range .Deps}} {{.}}{{end}} ' ./... \
	| awk -F: '$$1 ~ /\.test$$/ && $$2 ~ / holdfast\/build\/privated / {sub(/\.test$$/, "", $$1); print $$1}' | sort); \
unit=$$(comm -23 <(echo "$$all") <(echo "$$integration"))
endef

# The tests that a 32-bit processor could fail in its own way: sizes of int, alignment
# of 64-bit atomics.
EMULATOR     := qemu-arm-static -cpu cortex-a7
ARM_PACKAGES := ./edge ./edge/boltfile ./edge/oip ./edge/rawconn ./edge/slots ./edge/trust ./edge/config ./edge/localapi ./policycache ./mqtt/journal ./mqtt/outbox ./scheduler ./runtime

##@ Using it

.PHONY: help
help: ## List every target
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: ## Start containerd, a model and the agent, and send real inputs (ARGS=--once ends after them)
	@$(PROVISION) --only run
	@$(MAKE) --no-print-directory build images
	@CGO_ENABLED=0 $(GO) build -tags $(TAGS) -o dist/tools/demo ./build/demo
	@exec dist/tools/demo $(ARGS)

.PHONY: build
build: ## Build dist/holdfast for this machine
	$(GO_BUILD) -o dist/holdfast .

.PHONY: install
install: build ## Install the binary and its unit below DESTDIR
	install -D -m 0755 dist/holdfast '$(DESTDIR)/usr/bin/holdfast'
	install -D -m 0644 build/systemd/holdfast.service '$(DESTDIR)/usr/lib/systemd/system/holdfast.service'
	install -D -m 0644 build/systemd/networks.conf '$(DESTDIR)/usr/share/holdfast/networks.conf'

.PHONY: clean
clean: ## Stop what an interrupted run left, and remove dist and .run
	@if [ -d .run ]; then $(GO) run -tags $(TAGS) ./build/demo -clean; fi
	rm -rf --one-file-system dist .run

##@ Checking it

# In the order in which a mistake shows soonest.
STEPS := provision house build vet lint unit unit-arm cross smoke images integration reproduce-one size

.PHONY: test
test: ## Run every check and every test (installs what is missing first)
	@took=; for step in $(STEPS); do \
		echo "== $$step"; start=$$SECONDS; \
		$(MAKE) --no-print-directory $$step || { echo "== $$step failed after $$((SECONDS - start)) s" >&2; exit 1; }; \
		took+=$$(printf '\n%6d s  %s' $$((SECONDS - start)) $$step); \
	done; echo "== all passed$$took"; printf '%6d s\n' $$SECONDS

.PHONY: provision
provision: ## Install what is missing: Debian packages, and pinned tools in .tools
	@$(PROVISION)

.PHONY: house
house: ## Hold every package against the plan of the house
	@$(GO_TEST) ./build/house

.PHONY: vet
vet: ## Run go vet here and as a 32-bit ARM would see it
	$(GO) vet -tags $(TAGS) ./...
	GOARCH=arm GOARM=7 CGO_ENABLED=0 $(GO) vet -tags $(TAGS) ./...

.PHONY: lint
lint: ## Run golangci-lint, and read the scripts for syntax
	@$(PROVISION) --only lint
	.tools/bin/golangci-lint run ./...
	@for script in .ci/run $$(find build -name '*.sh'); do bash -n "$$script"; done

# Long computations of one goroutine (tagged !race) and most seeds (not -short) would take
# the race detector ten times as long and show it nothing: they run without it.
DEEP := ./scheduler ./scheduler/sim ./mqtt/fleetlink ./mqtt/journal ./mqtt/outbox

.PHONY: unit
unit: ## Run the tests that need nothing but this machine, under the race detector and without
	@$(PROVISION) --only test
	@$(sort-packages); CGO_ENABLED=1 $(GO_TEST) -race -short $$unit
	@$(GO_TEST) $(DEEP)

.PHONY: unit-arm
unit-arm: ## Run the tests of the pure packages on an emulated 32-bit ARM
	@$(PROVISION) --only test
	@# Tests that start their own binary again have to be told of the emulator too. Fewer cases
	@# of each kind do: what differs there is sizes and alignment.
	@HOLDFAST_EXEC='$(EMULATOR)' GOARCH=arm GOARM=7 CGO_ENABLED=0 $(GO_TEST) -short -exec '$(EMULATOR)' $(ARM_PACKAGES)

.PHONY: integration
integration: ## Run the tests that start a real containerd, one package at a time
	@$(PROVISION) --only test
	@$(sort-packages); CGO_ENABLED=1 $(GO_TEST) -race -count=1 -p 1 $${integration:?no package reaches build/privated}

.PHONY: soak
soak: ## Repeat the unit tests in random order, then fuzz every target (SOAK_COUNT=20 FUZZTIME=1m)
	@$(sort-packages); TAGS=$(TAGS) build/soak/soak.sh $$unit

.PHONY: vm
vm: ## Run the driver's tests and the service's in an emulated machine with systemd and cgroups v2 (ARGS='-steps service -v')
	@$(PROVISION) --only vm
	@CGO_ENABLED=0 $(GO) build -tags $(TAGS) -o dist/tools/vm ./build/vm
	@dist/tools/vm -control
	@exec dist/tools/vm $(ARGS)

##@ Shipping it

.PHONY: cross $(ARCHES:%=cross-%)
cross: $(ARCHES:%=cross-%) ## Build static binaries for every architecture into dist
	@$(GO) run ./build/smoke $(ARCHES:%=dist/holdfast-linux-%)

$(ARCHES:%=cross-%): cross-%:
	$(env-$*) $(GO_BUILD) -o dist/holdfast-linux-$* .

.PHONY: smoke
smoke: ## Start the cross-built binaries on the processors they are for, emulated
	@$(PROVISION) --only test
	@$(GO) run ./build/smoke -run $(STARTED:%=dist/holdfast-linux-%)

.PHONY: images
images: $(SHIPPED:%=server-%) $(SHIPPED:%=burner-%) $(SHIPPED:%=tool-%) ## Pack the sample model servers and the tool as multi-platform OCI archives
	@$(GO) run ./build/image -name $(IMAGE) -entry /server -user 65532:65532 \
		$(call binaries,server) -out dist/images/digits.oci.tar
	@$(GO) run ./build/image -name $(BURNER) -entry /burner -user 65532:65532 \
		$(call binaries,burner) -out dist/images/burner.oci.tar
	@$(GO) run ./build/image -name $(TOOL) -entry /tool -user 65532:65532 \
		$(call binaries,tool) -out dist/images/tool.oci.tar

binaries = -binary linux/amd64=dist/images/$(1)-amd64 -binary linux/arm64=dist/images/$(1)-arm64 \
	-binary linux/arm/v7=dist/images/$(1)-armv7

.PHONY: $(SHIPPED:%=server-%) $(SHIPPED:%=burner-%) $(SHIPPED:%=tool-%)
$(SHIPPED:%=server-%): server-%:
	@mkdir -p dist/images
	$(env-$*) $(GO_BUILD) -o dist/images/server-$* ./build/sample/server

$(SHIPPED:%=burner-%): burner-%:
	@mkdir -p dist/images
	$(env-$*) $(GO_BUILD) -o dist/images/burner-$* ./build/sample/burner

$(SHIPPED:%=tool-%): tool-%:
	@mkdir -p dist/images
	$(env-$*) $(GO_BUILD) -o dist/images/tool-$* ./build/sample/tool

.PHONY: packages
packages: $(SHIPPED:%=cross-%) ## Make deb, rpm and apk packages in dist/packages, with their sums and what is in them
	@$(PROVISION) --only packages
	@$(GO) run -tags $(TAGS) ./build/packages -version '$(VERSION)' -epoch $(EPOCH) $(foreach a,$(SHIPPED),$(a)=dist/holdfast-linux-$(a))

.PHONY: packages-test
packages-test: ## Install, upgrade, remove and purge the packages in a Debian of their own
	@$(PROVISION) --only chroot
	@$(GO_TEST) -count=1 -v -tags $(TAGS),chroot ./build/packages/chroot

.PHONY: reproduce
reproduce: ## Build the shipped binaries twice, in two folders with nothing kept, and compare them
	@$(GO) run -tags $(TAGS) ./build/packages/reproduce -cold $(SHIPPED)

.PHONY: reproduce-one
reproduce-one: ## The same for one architecture, with what the compiler has kept
	@$(GO) run -tags $(TAGS) ./build/packages/reproduce amd64

.PHONY: agent-image
agent-image: $(SHIPPED:%=cross-%) ## Pack the agent as a multi-platform OCI archive
	@$(GO) run ./build/image -name $(AGENT) -entry /usr/bin/holdfast -command run -user 0:0 \
		-mkdir /etc/holdfast -mkdir /var/lib/holdfast -mkdir /run/holdfast \
		-label org.opencontainers.image.title=holdfast -label org.opencontainers.image.version='$(VERSION)' \
		-label org.opencontainers.image.licenses=Apache-2.0 \
		-label 'org.opencontainers.image.description=edge gateway agent that keeps its inference deadlines' \
		-label org.opencontainers.image.revision="$$(git rev-parse HEAD)" \
		-label org.opencontainers.image.created="$$(date -u -d @$(EPOCH) +%Y-%m-%dT%H:%M:%SZ)" \
		-binary linux/amd64=dist/holdfast-linux-amd64 -binary linux/arm64=dist/holdfast-linux-arm64 \
		-binary linux/arm/v7=dist/holdfast-linux-armv7 -out dist/images/holdfast.oci.tar

# The kind of machine that an image is for.
ARCH ?= amd64

.PHONY: image
image: images ## Make the image of a gateway's disk (ARCH=amd64, arm64 or armv7)
	@$(PROVISION) --only image
	@$(MAKE) --no-print-directory cross-$(ARCH)
	@CGO_ENABLED=0 $(GO) build -tags $(TAGS) -o dist/tools/gateway ./build/gateway
	@dist/tools/gateway make -arch $(ARCH) -version '$(VERSION)' -epoch $(EPOCH) $(ARGS)

# What a release holds beside programs and packages: images for these kinds of gateways. Whose
# keys sign it, and whom the images trust; without them it is a developer's keys.
IMAGES         ?= amd64
KEY            ?=
ROOT           ?=
FACTORY_POLICY ?=
KEYRING        ?=
SEQUENCE       ?=
NOTES          ?=
CHANGED        ?=
OUT            ?= dist/release
RELEASE = -version '$(VERSION)' -commit '$(COMMIT)' -epoch '$(EPOCH)' -out '$(OUT)' -gateways '$(IMAGES)' -key '$(KEY)' -root '$(ROOT)' \
	-factory-policy '$(FACTORY_POLICY)' -keyring '$(KEYRING)' -notes '$(NOTES)' \
	$(if $(SEQUENCE),-sequence '$(SEQUENCE)') $(if $(CHANGED),-changed) $(ARGS)

.PHONY: release
release: ## Build everything of one version into dist/release/VERSION, signed (IMAGES='amd64 arm64 armv7', KEY=… ROOT=…)
	@$(PROVISION) --only release
	@[ -z '$(strip $(IMAGES))' ] || $(PROVISION) --only image
	@CGO_ENABLED=0 $(GO) build -tags $(TAGS) -o dist/tools/release ./build/release
	@dist/tools/release ready $(RELEASE)
	@$(MAKE) --no-print-directory VERSION='$(VERSION)' EPOCH='$(EPOCH)' packages agent-image images
	@CGO_ENABLED=0 $(GO) build -tags $(TAGS) -o dist/tools/gateway ./build/gateway
	@for arch in $(IMAGES); do \
		dist/tools/gateway make -arch $$arch -version '$(VERSION)' -epoch '$(EPOCH)' \
			$(if $(ROOT),-root-document '$(ROOT)' -factory-policy '$(FACTORY_POLICY)' -keyring '$(KEYRING)'); \
		$(if $(KEY),,dist/tools/gateway bundle -arch $$arch -version '$(VERSION)' -epoch '$(EPOCH)';) \
	done
	@dist/tools/release make $(RELEASE)

.PHONY: soak-boot
soak-boot: ## Start that image in an emulated machine, without a network, and cut its power ten times
	@$(PROVISION) --only image
	@CGO_ENABLED=0 $(GO) build -tags $(TAGS) -o dist/tools/gateway ./build/gateway
	@dist/tools/gateway boot -arch $(ARCH) -control agent
	@dist/tools/gateway boot -arch $(ARCH) -control policy
	@dist/tools/gateway boot -arch $(ARCH) $(ARGS)

.PHONY: soak-fleet
soak-fleet: ## Flash that image, start it without a network, then have a fleet update its agent, well and badly
	@$(PROVISION) --only image
	@CGO_ENABLED=0 $(GO) build -tags $(TAGS) -o dist/tools/gateway ./build/gateway
	@dist/tools/gateway boot -arch $(ARCH) -fleet $(ARGS)

.PHONY: size
size: ## Show what the binary and each library weigh; fail if it outgrew the record
	@$(GO) run ./build/size -tags $(TAGS)

.PHONY: size-accept
size-accept: ## Accept the present size and modules as the record
	@$(GO) run ./build/size -tags $(TAGS) -accept

.PHONY: deps
deps: build ## Compare the modules linked into the binary with the record
	@diff -u <(grep -v '^#' build/size/deps.txt) <($(GO) version -m dist/holdfast | awk '$$1 == "dep" {print $$2, $$3}' | LC_ALL=C sort) \
		&& echo "the linked modules are those of build/size/deps.txt"

##@ Working on it

.PHONY: bench
bench: ## Measure the agent beside its baselines in one run
	@$(PROVISION) --only run
	@$(MAKE) --no-print-directory build images
	@CGO_ENABLED=0 $(GO) build -tags $(TAGS) -o dist/tools/bench ./build/bench
	@dist/tools/bench $(ARGS)
	@$(GO_TEST) -run '^$$' -bench . -benchmem ./scheduler

.PHONY: docs
docs: ## Write the parts of the documentation that follow from the program
	@$(GO) run -tags $(TAGS) ./build/docs

.PHONY: pictures
pictures: ## Draw the pictures of docs/page.md anew, in a headless browser
	@$(PROVISION) --only test
	@$(GO_TEST) -count=1 -run Pictures ./build/browser -pictures ../../docs/pictures

.PHONY: fmt
fmt: ## Format every Go file
	@gofmt -l -w $$(git ls-files --cached --others --exclude-standard '*.go')
