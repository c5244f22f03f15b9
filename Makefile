# What to type. Needs Go, gcc (for the race detector), make and git; nothing else.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN := bin/actordb
GO  ?= go

.PHONY: help build demo test peers check sim unsimulated race analyze fuzz sweep audit mutants clean FORCE

help:
	@echo "make demo         one run with faults, then the same with a planted bug"
	@echo "make test         format, vet, all tests"
	@echo "make sim          a sweep of seeds under faults (BUDGET=60s)"
	@echo "make check        everything: race detector, analyzers, fuzzing, a long sweep, audit, all mutants"
	@echo "make unsimulated  the shipped code that the simulator does not execute"

build: $(BIN)

$(BIN): FORCE
	@mkdir -p bin
	$(GO) build -o $(BIN) ./cmd/actordb

# ---- demo

DEMO_SEED := 3
DEMO_BUG  := ZD1

demo: build
	@echo; echo "== three servers under faults, seed $(DEMO_SEED): every law must hold"
	@$(BIN) sim run --seed $(DEMO_SEED) --duration 20s
	@echo; echo "== the same with a planted bug ($(DEMO_BUG)): which checker finds it?"
	@sed -n '1,/^-- /{/^-- /d;s/^/   /;p}' experiments/mutants/$(DEMO_BUG).txtar
	@sed -n '/^-- before/,$$p' experiments/mutants/$(DEMO_BUG).txtar | sed 's/^/   /'
	@status=0; $(BIN) sim mutants --only $(DEMO_BUG) || status=$$?; \
	if [ $$status -ne 0 ]; then echo "the planted bug was not found" >&2; exit 1; fi
	@echo "== violation found and named; the engine without the bug passes the same seeds"

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
	cd experiments/peers && $(GO) vet ./...

# ---- simulation

BUDGET ?= 60s

sim: build
	$(BIN) sim sweep --budget $(BUDGET)

unsimulated:
	@$(GO) run ./internal/tools/unsimulated

# ---- check

SWEEP ?= 5m
FUZZ  ?= 1m

check: test peers race fuzz audit sweep mutants

# The simulated engine has one thread; these are used by several.
race:
	$(GO) test -race ./disk/... ./net/... ./internal/host ./internal/node ./workloads/... ./cmd/...

# The analyzers are tests of internal/arch.
analyze:
	$(GO) test -count=1 ./internal/arch

fuzz: analyze
	@git grep -l '^func Fuzz' -- '*_test.go' | while read -r file; do \
	  for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
	    echo "== $$target ($$(dirname "$$file"))"; \
	    $(GO) test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZ) "./$$(dirname "$$file")"; \
	  done; \
	done

audit: build
	$(BIN) sim audit --seeds 50

sweep: build
	$(BIN) sim sweep --budget $(SWEEP)

mutants: build
	$(BIN) sim mutants

clean:
	rm -rf bin results/tmp
