# Headwater. `make run` starts it, `make test` proves it, `make help` lists the rest.
#
# One profile and whole-workspace calls only: RocksDB takes ten minutes for each way of building it.
# One target directory outside the clone, so that a fresh clone finds what an earlier one built.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/headwater/target
CARGO_FLAGS := --workspace --release --locked
BINARY := target/release/headwater

.PHONY: help run build test test-fast test-cluster demo bench docs kafka deny release-check fmt clean

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  what is built stays in $(CARGO_TARGET_DIR)"

run: build ## install what is missing, build, start everything on http://127.0.0.1:7070 with data in ./data
	@exec $(BINARY) serve

build: ## build the release binary; leaves target/release/headwater
	@scripts/install build
	@cargo build $(CARGO_FLAGS) --bins
	@scripts/link

test: ## everything: format, lints, unit, property, doc, integration and Kafka tests, licences
	@scripts/test

test-fast: ## formatting, lints and the tests that need no Kafka
	@scripts/test --fast

test-cluster: kafka ## the cluster tests in their long form: longer loads, each of three brokers paused, leaders moved ten times
	@cargo build $(CARGO_FLAGS) --bins
	@HEADWATER_LONG=1 cargo test $(CARGO_FLAGS) --test cluster

demo: build ## four programs on real data, a change to each while it runs, and how long it took
	@scripts/install demo
	@scripts/demo

bench: build kafka ## the benchmarks: a table, and JSON beside it
	@"$$CARGO_TARGET_DIR/release/headwater-bench"

docs: ## the API documentation, warnings are errors
	@scripts/install build
	@RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS) --no-deps
	@echo "open $(CARGO_TARGET_DIR)/doc/headwater/index.html"

kafka: ## fetch Apache Kafka for the tests (a JVM too, where that may be installed)
	@scripts/install test
	@scripts/kafka

deny: ## licences, bans, sources and advisories of all dependencies (installs cargo-deny)
	@scripts/deny

release-check: ## the SDK with the oldest Rust it promises, and its packages as they would be published
	@scripts/release-check $(SINCE)

fmt: ## format everything
	@cargo fmt --all

clean: ## forget what was built
	@cargo clean
	@rm -rf target
