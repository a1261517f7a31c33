# The front door. Everything here calls a script or CMake; nothing is decided in this file.
#
#   make run      build, start the suite on this machine, walk through a meeting, stay until Ctrl-C
#   make test     build with sanitizers, then every test; ends with "N passed, N failed"
#   make up, make down, make status     the same stack in the background
#   make chaos SECONDS=600 [SEED=7]     votes under fire; chaos-mutants: known faults it must notice; torture: each outgoing operation fails
#   make bench    speed, as ratios against limits measured in the same run
#   make loadtest a meeting's first seconds, passed or failed by the criteria of deploy/loadtest
#   make images   the container images, built and tried without a Docker engine
#   make lint     every check of the source; `make tidy` is its slow part alone
#   make fuzz     every fuzz target for FUZZ_SECONDS (60); `make test` does it beside the tests
#   make tsan     unit tests, a choice of integration tests and a load run under ThreadSanitizer
#   make soak     a million mixed requests and crowds of hostile clients
#   make coverage lines and branches the tests reach, of libcommon and the voting path
#   make hardening  the flags of the release binaries
#   make format   clang-format over the tree
#   make install  the Debian packages that are missing (run and test do it by themselves)

MAKEFLAGS += --no-print-directory
JOBS ?= $(shell nproc)

.DEFAULT_GOAL := build
.PHONY: run up down status build asan test chaos chaos-mutants torture bench loadtest images lint tidy fuzz tsan soak coverage hardening format install packages clean

run: build
	@deploy/local/suite run

up: build
	@deploy/local/suite up

down:
	@deploy/local/suite down

status:
	@deploy/local/suite status

build: packages
	@cmake --preset release --log-level=WARNING
	@cmake --build build --parallel $(JOBS)

asan:
	@deploy/local/install test
	@tests/peers/install
	@cmake --preset asan --log-level=WARNING
	@cmake --build build/asan --parallel $(JOBS)

test: asan
	@tests/run

SECONDS ?= 60
chaos: asan
	@tests/chaos/run --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

chaos-mutants: asan
	@tests/chaos/run --mutants $(if $(SEED),--seed $(SEED))

torture: asan
	@tests/torture/run

bench: build
	@tests/bench/run
	@tests/bench/login
	@tests/bench/registry
	@tests/bench/sync

loadtest: build
	@deploy/loadtest/run

images:
	@deploy/local/install test
	@deploy/images/build-local

lint: asan
	@tests/lint/run

tidy: asan
	@tests/lint/run tidy

fuzz:
	@deploy/local/install test
	@cmake --preset fuzz --log-level=WARNING
	@cmake --build build/fuzz --parallel $(JOBS) --target fuzz_targets
	@tests/fuzz/run

tsan:
	@deploy/local/install test
	@cmake --preset tsan --log-level=WARNING
	@cmake --build build/tsan --parallel $(JOBS)
	@tests/tsan/run

soak: build
	@deploy/local/install soak
	@tests/soak/run

coverage:
	@deploy/local/install coverage
	@cmake --preset coverage --log-level=WARNING
	@cmake --build build/coverage --parallel $(JOBS)
	@tests/coverage

hardening: build
	@tests/lint/hardening build/bin

format:
	@tests/lint/format --write

packages:
	@deploy/local/install run

install:
	@deploy/local/install test

clean:
	@rm -rf build
