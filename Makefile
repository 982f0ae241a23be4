# The whole developer interface. `make run` and `make test` work on a bare Debian machine
# with Rust: scripts/setup.sh installs what is missing and says what it does.

CARGO ?= cargo
STREAMCTL = target/release/streamctl

.PHONY: help run test build fmt lint e2e bench bench-flink sql-cases fuzz ui setup clean

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup:
	@scripts/setup.sh build

build: setup ## Build streamctl (release)
	@scripts/build.sh

run: build ## Run the main job (flights), show what it found; on a terminal: replay it for the web UI
	@scripts/run-flights.sh $(STREAMCTL)

test: ## Every test: unit, contract, process, data and web UI tests, formatting
	@scripts/test.sh

e2e: build ## Only the process tests (real job managers, task managers, S3, SIGKILL)
	@scripts/setup.sh test
	@scripts/e2e.sh

bench: build ## Measure throughput, latency, checkpoints and recovery; writes target/bench/
	@scripts/bench.py $(BENCH)

bench-flink: build ## Run the Nexmark queries on Weir and on real Flink in turn (an hour and more; Java 17)
	@python3 scripts/bench_flink $(BENCH)

sql-cases: ## Run the SQL cases four ways each, and thousands of random queries, against DuckDB's rows
	@scripts/sql-cases.sh

fuzz: setup ## Fuzz the SQL planner and the job file parser, FUZZ_SECONDS each (60)
	@scripts/fuzz.sh

ui: build ## Only the tests of the web UI (a real browser, a live cluster)
	@scripts/setup.sh test
	@scripts/ui.sh $(STREAMCTL)

fmt: ## Format the code
	@$(CARGO) fmt --all

lint: setup ## Check formatting and lints
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --release --workspace --all-targets -- -D warnings

clean: ## Remove what was built
	@$(CARGO) clean
