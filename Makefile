# Everything that a developer, a newcomer or CI runs. `make` alone prints this list.
# A newcomer needs Go and make; a Redis is used when redis-server or valkey-server is found.

GO            ?= go
GOLANGCI_LINT := $(GO) tool -modfile=tools/go.mod golangci-lint
GOTESTSUM     := $(GO) tool -modfile=tools/go.mod gotestsum --format pkgname-and-test-fails --hide-summary=skipped --
ACTIONLINT    := $(GO) tool -modfile=tools/actionlint/go.mod actionlint
COMPOSE       := docker compose -f deploy/compose.yaml
MAKEFLAGS     += --no-print-directory

PKG           ?= ./... ## packages that test and test-race look at
TEST_TIMEOUT  ?= 15m ## longest time of one test binary
CHAOS_ORDERS  ?= 10000 ## orders of chaos
SOAK          ?= 30m ## time of soak
ACTIONS       ?= 1000000 ## random actions of simulate
FUZZTIME      ?= 30s ## time of each fuzz target
DEMO_ARGS     ?= ## more arguments for demo
BENCH_ARGS    ?= ## more arguments for bench
IMAGE         ?= stepwell ## name of the image built by image

.DEFAULT_GOAL := help

##@ Look
.PHONY: help
help: ## print this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile
	@printf '\nVariables (make test PKG=./pkg/...)\n'
	@awk '/^[A-Z_]+ *\?=.*## / { name = $$1; rest = $$0; sub(/^[^=]*= */, "", rest); text = rest; \
	  sub(/ *## .*/, "", rest); sub(/^## .*/, "", rest); sub(/.*## /, "", text); \
	  printf "  %-15s %-10s %s\n", name, rest, text }' Makefile

.PHONY: demo
demo: ## play the nine orders through real processes and check the books
	$(GO) run ./cmd/stepwell demo $(DEMO_ARGS)

.PHONY: dev
dev: ## the same stack, kept up until Ctrl-C, with its addresses printed
	$(GO) run ./cmd/stepwell dev

##@ Build and change
.PHONY: build
build: ## compile every package, and the binaries into bin/
	$(GO) build ./...
	$(GO) build -o bin/ ./cmd/...

.PHONY: fmt
fmt: ## format the code
	$(GOLANGCI_LINT) fmt ./...

.PHONY: generate
generate: ## write the generated files anew
	$(GO) generate ./...

.PHONY: clean
clean: ## remove what the other targets wrote
	rm -rf bin bench/latest.json

##@ Test
.PHONY: test
test: ## unit and conformance tests, on a real Redis if one is found
	$(GO) test -shuffle=on -timeout $(TEST_TIMEOUT) $(PKG)

.PHONY: test-race
test-race: ## the same with the race detector and a summary
	$(GOTESTSUM) -race -shuffle=on -timeout $(TEST_TIMEOUT) $(PKG)

.PHONY: test-integration
test-integration: ## real processes and a real Redis: crashes, crash points, outages, scaling, failovers, overload
	$(GO) test -race -shuffle=on -tags=integration -timeout $(TEST_TIMEOUT) -skip '^TestSoak$$' $$($(GO) list -tags=integration ./test/... | grep -Ev '/(bars|chaos|simulation)$$')
	$(GO) test -race -shuffle=on -tags=integration -timeout $(TEST_TIMEOUT) ./bench/... # alone: it counts what an undisturbed step costs

.PHONY: test-bars
test-bars: ## the promised figures: take-over, wiped queue, outage, poison, waiting runs, buttons, clocks
	$(GO) test -tags=integration -timeout $(TEST_TIMEOUT) -v ./test/bars

.PHONY: test-chaos
test-chaos: ## 300 orders while processes and Redis are killed, stopped and cut off
	$(GO) test -tags=integration -timeout $(TEST_TIMEOUT) -v ./test/chaos

.PHONY: e2e
e2e: ## run the programs under examples/ against a running stack
	$(GO) test -race -shuffle=on -tags=integration -timeout $(TEST_TIMEOUT) ./examples/...

.PHONY: simulate
simulate: ## ACTIONS random actions on the real engine in a simulated world
	SW_SIM_ACTIONS=$(ACTIONS) $(GO) test -count=1 -timeout 0 -v ./test/simulation

.PHONY: chaos
chaos: ## the full proof by hand: every crash point, and CHAOS_ORDERS orders under fire
	SW_CRASHPOINTS=all $(GO) test -count=1 -tags=integration -timeout 0 -v -run TestCrashPoints ./test/crashpoint
	SW_CHAOS_ORDERS=$(CHAOS_ORDERS) SW_CHAOS_RATE=14 $(GO) test -count=1 -tags=integration -timeout 0 -v ./test/chaos

.PHONY: soak
soak: ## steady load for SOAK, with a chart of what must stay flat (also as bin/soak.svg)
	@mkdir -p bin
	SW_SOAK=$(SOAK) SW_SOAK_CHART=$(CURDIR)/bin/soak.svg $(GO) test -count=1 -tags=integration -timeout 0 -v -run '^TestSoak$$' ./test/soak

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME
	@GO="$(GO)" .ci/fuzz $(FUZZTIME)

.PHONY: test-deploy
test-deploy: ## the compose file and the manifests (a module of its own)
	cd deploy/composetest && $(GO) test -shuffle=on ./...

.PHONY: bench
bench: ## measure beside hand-chained asynq; writes bench/latest.json
	$(GO) run ./bench $(BENCH_ARGS)

##@ Check
.PHONY: lint
lint: ## linters, formatting, the import table, the CI file
	$(GOLANGCI_LINT) run ./...
	cd deploy/composetest && $(GO) tool -modfile=../../tools/go.mod golangci-lint run -c ../../.golangci.yaml ./...
	$(ACTIONLINT)

.PHONY: verify
verify: ## generated files are current, go vet is silent, the model of a step holds (needs spin and gcc)
	@MAKE="$(MAKE)" .ci/verify-generated
	$(GO) vet -tags=integration,verify ./...
	$(GO) test -count=1 -tags=verify -timeout $(TEST_TIMEOUT) ./test/model

.PHONY: vuln
vuln: ## known vulnerabilities (needs the network)
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

.PHONY: check
check: export SOAK = 3m
check: ## the definition of done; what CI runs
	@MAKE="$(MAKE)" .ci/stages lint:2 build:1 verify:3 test-race:5 simulate:4 test-bars:5 test-integration:6 test-chaos:4 e2e:1 test-deploy:1 soak:5 fuzz:6 demo:1

##@ Containers
.PHONY: image
image: ## build the container image IMAGE
	docker build -f deploy/Dockerfile -t $(IMAGE) .

.PHONY: up
up: ## start the whole stack in containers
	$(COMPOSE) up --build --detach --wait

.PHONY: down
down: ## stop it; data volumes stay
	$(COMPOSE) down
