# Needs make, Rust and Python 3 with venv; `make tools` fetches the rest into .tools/, and cargo-lambda adds rustc's target
# for the other processor by rustup.

TOOLS := $(CURDIR)/.tools
export PATH := $(TOOLS)/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0

# CI builds what Cargo.lock says or nothing.
LOCKED := $(if $(CI),--locked)

# The template's check builds with SAM as a deployment does, but for this machine's processor and without
# optimisation: fat LTO takes minutes and finds nothing here. `make template SAM_BUILD_MODE=` optimises.
SAM_BUILD_MODE ?= debug
HOST_ARCH := $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help tools demo dev test prove bench scale chaos fuzz lint template build deploy clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

# Node's SDK for an example, where there is npm.
NODE := $(if $(shell command -v npm),$(TOOLS)/node/.installed)
tools: $(TOOLS)/.installed $(TOOLS)/checkov/.installed $(TOOLS)/ministack/.installed $(NODE) ## what builds and checks, into .tools/, in the versions of tools/

# Made anew when the versions change: a venv that is upgraded in place keeps what nothing needs any more.
$(TOOLS)/.installed: tools/requirements.txt
	rm -rf $(TOOLS)
	python3 -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# checkov and ministack want other versions of boto3 and botocore than SAM does, so each has a venv of its own.
$(TOOLS)/%/.installed: tools/%.txt $(TOOLS)/.installed
	rm -rf $(@D)
	python3 -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# One example is in Node; where there is no npm, `make test` says that it was not tested.
$(TOOLS)/node/.installed: tools/package.json $(TOOLS)/.installed
	rm -rf $(@D)
	mkdir -p $(@D)
	cp $< $(@D)
	npm install --prefix $(@D) --no-package-lock --no-audit --no-fund --silent
	@touch $@

demo: tools ## one request's whole way, to what Slack and Zendesk show of it, on this machine, with no account
	cargo run $(LOCKED) --package local -- demo

dev: tools ## the same, kept running for curl, with every destination's stand-in
	cargo run $(LOCKED) --package local -- dev

# The integration tests come last, so that what is printed last is a count of tests and not of none. The selection of
# packages is the same throughout: another one means other features, and all dependencies built again. Stories mostly
# wait, so more of them run at once than there are processors.
test: lint template ## everything
	cargo build $(LOCKED) --workspace --bins --examples
	cargo test $(LOCKED) --workspace --doc
	cargo test $(LOCKED) --workspace --no-fail-fast --lib --bins
	RUST_TEST_THREADS=6 cargo test $(LOCKED) --workspace --no-fail-fast --test '*'

prove: ## the protocol, every order of its steps: over ten million states, in minutes
	cargo run $(LOCKED) --package prove --profile quick

# The two functions as they are deployed, by their default selection of packages: zipped, and as binaries, which builds
# nothing again. Each floor alone, so that none has another's features, as Cargo builds it and Python zips it.
LAMBDA = cargo lambda build $(LOCKED) --release --quiet
FLOORS := constant put tutorial
FLOOR_DIR = $${CARGO_TARGET_DIR:-bench/target}

bench: tools ## what the functions take, beside a tutorial's: start, warm, memory, package, calls; KEEP=1 keeps the instructions
	cargo build $(LOCKED) --package bench --profile quick
	for format in zip binary; do $(LAMBDA) --output-format $$format || exit 1; done
	for floor in $(FLOORS); do \
		cargo build $(LOCKED) --release --quiet --manifest-path bench/Cargo.toml --package $$floor || exit 1; \
		mkdir -p $(FLOOR_DIR)/lambda/$$floor && cp $(FLOOR_DIR)/release/$$floor $(FLOOR_DIR)/lambda/$$floor/bootstrap || exit 1; \
		(cd $(FLOOR_DIR)/lambda/$$floor && python3 -m zipfile -c bootstrap.zip bootstrap) || exit 1; \
	done
	$${CARGO_TARGET_DIR:-target}/quick/bench $(if $(KEEP),--keep) \
		--functions $${CARGO_TARGET_DIR:-target}/lambda --floors $(FLOOR_DIR)/lambda

# The functions alone, and as binaries: nothing is said of packages.
scale: tools ## how throughput holds from 1 to 50 copies, and what sweeps of up to 100,000 records take; QUICK=1 for less of it
	cargo build $(LOCKED) --package bench --profile quick
	$(LAMBDA)
	$${CARGO_TARGET_DIR:-target}/quick/bench --scale $(if $(QUICK),--quick) --functions $${CARGO_TARGET_DIR:-target}/lambda

# SEED and REQUESTS choose; without them, any seed and 1,000. Not `cargo run`: that selects other features, and builds
# all dependencies again.
chaos: ## requests amid every kind of fault, and a table of what became of them; SEED=… repeats a run
	cargo build $(LOCKED) --workspace --bins
	$${CARGO_TARGET_DIR:-target}/debug/chaos $(if $(SEED),--seed $(SEED)) $(if $(REQUESTS),--requests $(REQUESTS))

# cargo-fuzz's flags are stable ones as long as no sanitizer is wanted; and there is no unsafe code that one would watch.
# libFuzzer comes with its crate, and wants a C++ compiler. What is found of new ways goes into fuzz/found, to be picked
# from: fuzz/corpus is kept, and run by `make test`.
CARGO_FUZZ_VERSION := 0.13.2
CARGO_FUZZ := $(TOOLS)/cargo-fuzz-$(CARGO_FUZZ_VERSION)
MINUTES ?= 30
FUZZ_TARGETS = $(or $(TARGET),$(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs))))
FUZZ_SECONDS = $(shell expr $(MINUTES) '*' 60 / $(words $(FUZZ_TARGETS)))
FUZZ_LIMITS := -rss_limit_mb=1024 -timeout=10 -max_len=8192 -verbosity=0

fuzz: $(CARGO_FUZZ)/bin/cargo-fuzz ## every parser of foreign bytes, for MINUTES=30 over all, or for TARGET=name alone
	@export PATH="$(CARGO_FUZZ)/bin:$$PATH"; failed=; \
	cargo fuzz build --sanitizer none || exit 1; \
	for target in $(FUZZ_TARGETS); do \
		printf '\n%s, for %s seconds\n' $$target $(FUZZ_SECONDS); \
		mkdir -p fuzz/found/$$target; \
		cargo fuzz run --sanitizer none $$target fuzz/found/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) $(FUZZ_LIMITS) -print_final_stats=1 || failed="$$failed $$target"; \
	done; \
	if [ -n "$$failed" ]; then \
		printf '\nFound by:%s. The inputs are in fuzz/artifacts. To repeat one, copy it to fuzz/corpus/TARGET:\n' "$$failed"; \
		printf '`cargo test --package fuzzing TARGET` fails until it is mended, and keeps it mended.\n'; \
		exit 1; \
	fi

$(CARGO_FUZZ)/bin/cargo-fuzz:
	cargo install cargo-fuzz --version $(CARGO_FUZZ_VERSION) --locked --root $(CARGO_FUZZ)

lint: tools ## formatting and clippy without a warning, and what the dependencies may be
	cargo fmt --all --check
	cargo clippy $(LOCKED) --workspace --all-targets -- --deny warnings
	cargo deny $(LOCKED) check bans licenses sources
	python3 tools/advisories.py

# What checkov found is printed if it is anything. It is not to ask its maker's server for more checks.
template: tools ## template.yaml is valid, checkov finds nothing in it, and SAM builds from it
	sam validate --lint
	cfn-lint template.yaml examples/*/*.yaml
	@echo checkov --file template.yaml
	@found=$$($(TOOLS)/checkov/bin/checkov --file template.yaml --framework cloudformation --quiet --compact --skip-download 2>&1) || \
	  { printf '%s\n' "$$found"; exit 1; }
	SAM_BUILD_MODE=$(SAM_BUILD_MODE) sam build --build-dir .aws-sam/check --parameter-overrides Architecture=$(HOST_ARCH)

build: tools ## what is deployed, into .aws-sam/build; ARGS are passed on
	sam build $(ARGS)

deploy: tools ## build, and `sam deploy --guided`; ARGS are passed on
	sam build
	sam deploy --guided $(ARGS)

clean: ## remove what was built; the tools stay
	cargo clean
	rm -rf .aws-sam .local bench/target fuzz/target
