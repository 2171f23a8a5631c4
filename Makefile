# Two commands do everything: `make run` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build run test unit e2e lint demo bench fuzz harness cases conformance docs sim cluster

# Arguments of `make run`, for example: make run ARGS="--port 9545 --datadir ./chain"
ARGS ?=

help: ## What can be typed
	@printf 'cloister\n\n'
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## Find or install what building and testing need
	@scripts/setup

build: ## Build the programs
	@scripts/build

run: ## Build, start a development node, and print what to type next
	@scripts/build
	@scripts/with-target cloister dev $(ARGS)

test: ## All checks and all tests
	@scripts/check all

lint: ## Formatting, lints, spelling, licences, layers
	@scripts/check lint

unit: ## Unit tests
	@scripts/check unit

e2e: ## Tests that drive the real programs with real tools
	@scripts/check e2e

demo: ## One contract, four readers, four answers, and what disk and wire look like
	@scripts/demo

bench: ## Measure the node beside the floor and anvil, and a network of three; about ten minutes
	@scripts/bench

fuzz: ## Mutated bytes at every entrance, random chains beside plain revm; MINUTES=10 each
	@scripts/fuzz

sim: ## Networks of nodes under faults, by seeds; SEEDS=50000
	@scripts/sim

cluster: ## Kill the leaders of real networks, cut their wires, let nodes miss and join a long chain; KILLS=100 BLOCKS=100000
	@scripts/cluster

conformance: ## Run the conformance suites and write docs/conformance.md
	@scripts/conformance

harness: ## Prove confidentiality: 2,000 pairs of worlds, canaries, needles in memory and on disk
	@scripts/harness

cases: ## Make the cases in tests/vectors anew with the executable specification
	@scripts/setup
	@.tools/venv/bin/python tests/tools/spec/generate.py write tests/vectors

docs: ## Write docs/rpc.md, docs/method-roles.md and docs/declassified.md from code
	@scripts/docs
