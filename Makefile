# What to type. Needs Go, gcc (for the race detector), make and git; nothing else.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN := bin/actordb
GO  ?= go

.PHONY: help build cluster demo test peers check drill sim unsimulated race analyze fuzz sweep audit mutants proto clean FORCE

help:
	@echo "make demo         one run with faults, a real node killed, then the run with a planted bug"
	@echo "make test         format, vet, all tests"
	@echo "make sim          a sweep of seeds under faults (BUDGET=60s)"
	@echo "make drill        a real node killed 200 times (KILLS), then one with a planted bug"
	@echo "make cluster      three nodes on this machine (CLUSTER=trio), until interrupted"
	@echo "make check        everything: race detector, analyzers, fuzzing, a long sweep, audit, drill, all mutants"
	@echo "make unsimulated  the shipped code that the simulator does not execute"
	@echo "make proto        Go code for net/rpc/proto"

build: $(BIN)

$(BIN): FORCE
	@mkdir -p bin
	$(GO) build -ldflags "-X main.revision=$$(git describe --always --dirty 2>/dev/null)" -o $(BIN) ./cmd/actordb

# ---- demo

DEMO_SEED := 9
DEMO_BUG  := ZD1
# Both halves of the demo run with the seed above and what the bug's file asks for.
DEMO_ARGS := $(shell sed -n 's/^args: *//p' experiments/mutants/$(DEMO_BUG).txtar)

demo: build
	@echo; echo "== three servers under faults, seed $(DEMO_SEED): every law must hold"
	@$(BIN) sim run --seed $(DEMO_SEED) $(DEMO_ARGS)
	@echo; echo "== a real node with mutual TLS, killed in the middle, unsynced data taken away: every law must hold"
	@$(BIN) drill --seed $(DEMO_SEED) --stage small --kills 6
	@echo; echo "== the first run again, with a planted bug ($(DEMO_BUG)): which checker finds it?"
	@sed -n '1,/^-- /{/^-- /d;s/^/   /;p}' experiments/mutants/$(DEMO_BUG).txtar
	@sed -n '/^-- before/,$$p' experiments/mutants/$(DEMO_BUG).txtar | sed 's/^/   /'
	@status=0; $(BIN) sim mutants --only $(DEMO_BUG) --seeds $(DEMO_SEED)-$(DEMO_SEED) || status=$$?; \
	if [ $$status -ne 0 ]; then echo "the planted bug was not found" >&2; exit 1; fi
	@echo "== violation found and named; the engine without the bug passes the same seed"

# ---- test

test:
	@begun=$$SECONDS; \
	echo "== gofmt"; bad=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go' | grep -v /testdata/)); \
	if [ -n "$$bad" ]; then echo "not formatted: $$bad; run gofmt -w on them" >&2; exit 1; fi; \
	echo "== go vet"; $(GO) vet ./...; \
	echo "== go test"; $(GO) test -timeout 9m ./...; \
	echo "== make test took $$((SECONDS - begun)) s"

# What ActorDB is compared with, a module of its own: it needs modules that the
# database does not.
peers:
	cd experiments/peers && $(GO) vet ./... && $(GO) test ./...
	cd experiments/duckdb && $(GO) vet ./...

# ---- simulation

BUDGET ?= 60s

sim: build
	$(BIN) sim sweep --budget $(BUDGET)

# Three nodes, each in a process of its own.
CLUSTER ?= trio

cluster: build
	$(BIN) cluster run --dir $(CLUSTER)

unsimulated:
	@$(GO) run ./internal/tools/unsimulated

# ---- check

SWEEP ?= 5m
FUZZ  ?= 1m

KILLS ?= 200

CLUSTER_DRILL ?= 2m

check: test peers race fuzz audit sweep drill mutants

# A real node, killed again and again; then one that acknowledges before it syncs,
# and one that does not sync names: the drill must find both. A node whose derived store is
# ahead of what is left of its journal finds it by itself.
drill: build
	$(BIN) drill --kills $(KILLS)
	$(BIN) drill --nodes 3 --duration $(CLUSTER_DRILL)
	@lost='durability: .*lost: |the derived store reflects entry [0-9]+, but the journal ends at'; \
	for bug in ZD1 ZD3; do \
	  status=0; said=$$($(BIN) drill --kills 20 --plant $$bug) || status=$$?; \
	  if [ $$status -ne 1 ] || ! grep -qE "$$lost" <<<"$$said"; then \
	    echo "$$said"; echo "the planted bug $$bug was not found" >&2; exit 1; fi; \
	  echo "== violation found and named:"; grep -E "$$lost" <<<"$$said"; \
	done

# The simulated engine has one thread; these are used by several.
race:
	$(GO) test -race ./disk/... ./net/... ./internal/host ./internal/node ./internal/drill ./internal/load ./experiments ./workloads/... ./cmd/...

# The analyzers are tests of internal/arch.
analyze:
	$(GO) test -count=1 ./internal/arch

# FUZZERS targets at once, each for FUZZ on a processor of its own.
FUZZERS ?= 2

fuzz: analyze
	@git grep -l '^func Fuzz' -- '*_test.go' | while read -r file; do \
	  sed -n "s|^func \(Fuzz[A-Za-z0-9_]*\)(.*|\1 ./$$(dirname "$$file")|p" "$$file"; \
	done | xargs -n 2 -P $(FUZZERS) bash -c 'status=0; \
	  said=$$($(GO) test -run="^$$" -fuzz="^$$0\$$" -parallel=1 -fuzztime=$(FUZZ) "$$1" 2>&1) || status=$$?; \
	  echo "== $$0 ($$1)"; echo "$$said" | tail -n 40; exit $$status'

audit: build
	$(BIN) sim audit --seeds 50

sweep: build
	$(BIN) sim sweep --budget $(SWEEP)

mutants: build
	$(BIN) sim mutants

# ---- generated code

# Go for net/rpc/proto; the compiler and its plugins are in go.mod.
proto:
	$(GO) test -count=1 ./net/rpc -run TestGenerated -args -rewrite

clean:
	rm -rf bin results/tmp
