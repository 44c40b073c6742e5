# Each target's comment is its line in `make help`.
.DEFAULT_GOAL := help
.PHONY: help demo up test torture torture-report bench sizing fleet limits lint deploy doc deny build release setup test-servers clean reset

CARGO ?= cargo
export PATH := $(PATH):$(HOME)/.cargo/bin

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## One clip from upload to POSTED on the TikTok sandbox
	@scripts/demo.sh

up: setup ## Run everything until Ctrl-C
	@scripts/up.sh

test: setup test-servers ## Run all tests
	@# The benches run once and small, so that they can't rot.
	$(CARGO) test --locked --quiet --bench streams --bench sizing --bench speed
	@# The torture's share comes first, since whoever reads the end looks for the summary of the suite.
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) nextest run --locked --features torture --test torture && \
		$(CARGO) test --locked --doc --quiet && $(CARGO) nextest run --locked; \
	else \
		$(CARGO) test --locked --features torture --test torture && $(CARGO) test --locked; \
	fi

torture: setup test-servers ## Kill it for TORTURE_SECONDS (600) from TORTURE_SEED (1) on
	@# TORTURE_ROWS, TORTURE_SIDE_BY_SIDE and TORTURE_RESULTS: see tests/torture/budget.rs.
	$(CARGO) test --locked --features torture --test torture -- --ignored --nocapture budget

torture-report: ## Print what docs/torture.jsonl holds, as the README's table
	@$(CARGO) test --locked --quiet --features torture --test torture -- --ignored --nocapture report

bench: setup test-servers ## Run the benches, write docs/figures/speed.md and the README's table
	@# SPEED_PAIRS (20) says how many pairs; `cargo bench --bench speed -- NAME` runs one row.
	scripts/bench-servers.sh
	$(CARGO) bench --locked --bench streams
	SPEED_RESULTS=$(CURDIR)/docs/figures/speed.md SPEED_README=$(CURDIR)/README.md $(CARGO) bench --locked --bench speed

sizing: setup ## Measure what one worker carries, as the tables of docs/sizing.md
	@$(CARGO) bench --locked --quiet --bench sizing

fleet: setup test-servers ## Run a fleet on PostgreSQL, S3 and a Redis Cluster, and write docs/figures/fleet.md
	@# FLEET_VIDEOS, FLEET_ACCOUNTS, FLEET_SERVE, FLEET_EDIT and FLEET_PUBLISH say how many.
	FLEET_RESULTS=$(CURDIR)/docs/figures/fleet.md $(CARGO) test --release --locked --test it -- --ignored --nocapture fleet_figures

limits: setup test-servers ## Hold the limits for LIMITS_SECONDS (1200) under kills and skew, and write docs/figures/limits.md
	LIMITS_RESULTS=$(CURDIR)/docs/figures/limits.md $(CARGO) test --locked --test it -- --ignored --nocapture limits_figures a_whole_day_of_many

lint: ## Check format, lints and shell scripts
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --features torture --lib --bins --test torture -- -D warnings
	@for script in scripts/*.sh deploy/*.sh .ci/run; do bash -n "$$script" || exit 1; done
	@if command -v shellcheck >/dev/null 2>&1; then shellcheck scripts/*.sh deploy/*.sh .ci/run; fi

deploy: ## Check units, image, compose file, Kubernetes and alert rules by their linters
	@scripts/deploy-check.sh

doc: ## Build the documentation; warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

deny: ## Check dependencies: bans, licences, sources, and advisories where they can be fetched
	@scripts/deny.sh

build: ## Build for trying out
	@scripts/build.sh

release: ## Build for running
	@PROFILE=release scripts/build.sh

setup: ## Install what is missing: redis-server or valkey-server, ffmpeg, a font
	@scripts/setup.sh

test-servers: setup ## Install what only the tests need: PostgreSQL, SeaweedFS, Redis 8.2, Valkey 9.1, Chromium
	@scripts/test-servers.sh

clean: ## Remove what was built
	$(CARGO) clean

reset: ## Remove ./data: all videos, accounts and keys in it
	rm -rf data
