# A thin front to CMake. Everything is built in build/ (and build-*/ for the special builds).
#
#   make          build the libraries and the program
#   make mnist    install what is missing, build, fetch MNIST, train a network on it
#   make test     install what is missing, build (the benchmarks too, so that they keep building), run all tests
#   make install  into PREFIX (default /usr/local)
#   make bench    build and run the benchmarks, Cambium's own numbers and those of bare oneDNN: about 10 minutes
#   make bench-full PYTHON=...   the same beside PyTorch and ONNX Runtime, which PYTHON has; goes on where it was cut off
#   make sanitize the tests under the address, undefined-behaviour and leak sanitizers
#   make valgrind the tests of base, semantics and optimizers under valgrind
#   make test-onednn3  all tests with oneDNN 3.x, fetched into build-onednn3/
#   make docs     the reference in build/docs/html, from the headers, the guide and the table of operations
#   make coverage lines and branches of src/ that the tests run, in build-coverage/ (of SIMD kernels those of AVX-512)
#   make fuzz     each fuzz target for a short time with clang's libFuzzer
#   make format   lay out the sources with clang-format
#   make clean

BUILD ?= build
PREFIX ?= /usr/local
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
CMAKE_ARGS ?=

MAKEFLAGS += --no-print-directory
.PHONY: all dependencies configure build mnist test test-onednn3 install bench bench-build bench-full sanitize valgrind fuzz \
    docs coverage format clean

all: build

dependencies:
	@sh scripts/install-dependencies

configure:
	@command -v cmake > /dev/null || { echo "cmake is missing: run 'sh scripts/install-dependencies'." >&2; exit 1; }
	@mkdir -p $(BUILD)
	@cmake -S . -B $(BUILD) -DCMAKE_INSTALL_PREFIX=$(PREFIX) $(CMAKE_ARGS) > $(BUILD)/configure.log 2>&1 \
	    || { cat $(BUILD)/configure.log; exit 1; }

build: configure
	@cmake --build $(BUILD) -j$(JOBS)

mnist: dependencies
	@$(MAKE) build CMAKE_ARGS="-DCAMBIUM_TESTS=OFF $(CMAKE_ARGS)"
	@$(BUILD)/cambium data get mnist
	@$(BUILD)/cambium train mnist-cnn

# CAMBIUM_TESTS is named because `make mnist` leaves it off in the build's cache.
test: dependencies
	@$(MAKE) build CMAKE_ARGS="-DCAMBIUM_TESTS=ON $(CMAKE_ARGS)"
	@cmake --build $(BUILD) -j$(JOBS) --target bench
	@sh scripts/run-tests $(BUILD) -j$(JOBS)

ONEDNN3 = $(BUILD)-onednn3
test-onednn3:
	@sh scripts/install-dependencies python3 python3-pip
	@sh scripts/fetch-onednn3 $(ONEDNN3)/onednn
	@$(MAKE) build BUILD=$(ONEDNN3) \
	    CMAKE_ARGS="-DCAMBIUM_TESTS=ON -DCAMBIUM_ONEDNN_ROOT=$(abspath $(ONEDNN3)/onednn) $(CMAKE_ARGS)"
	@sh scripts/run-tests $(ONEDNN3) -j$(JOBS)

install: build
	@cmake --install $(BUILD) --prefix $(PREFIX)

bench-build:
	@$(MAKE) build CMAKE_ARGS="-DCAMBIUM_TESTS=ON $(CMAKE_ARGS)"
	@cmake --build $(BUILD) -j$(JOBS) --target bench

bench: bench-build
	@rm -f $(BUILD)/bench/own.jsonl
	@python3 bench/compare.py --build $(BUILD) --out $(BUILD)/bench/own.jsonl
	@python3 bench/table.py $(BUILD)/bench/own.jsonl

PYTHON ?= python3
bench-full: bench-build
	@python3 bench/compare.py --build $(BUILD) --python $(PYTHON) --out $(BUILD)/bench/full.jsonl
	@python3 bench/table.py $(BUILD)/bench/full.jsonl

sanitize:
	@$(MAKE) build BUILD=$(BUILD)-sanitize CMAKE_ARGS="-DCAMBIUM_SANITIZE=address,undefined $(CMAKE_ARGS)"
	@sh scripts/run-tests $(BUILD)-sanitize -j$(JOBS)

valgrind:
	@sh scripts/install-dependencies valgrind
	@$(MAKE) build BUILD=$(BUILD)-valgrind CMAKE_ARGS="-DCAMBIUM_PLAIN_HEAP=ON -DCAMBIUM_PROGRAM=OFF $(CMAKE_ARGS)"
	@for t in $(BUILD)-valgrind/tests/test_base_* $(BUILD)-valgrind/tests/test_semantics_* \
	    $(BUILD)-valgrind/tests/test_optim_optimizers; do \
	    [ -x $$t ] || continue; echo "valgrind $$t"; \
	    taskset -c 0 valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite \
	        --suppressions=tests/valgrind.supp $$t > $(BUILD)-valgrind/log 2>&1 \
	        || { cat $(BUILD)-valgrind/log; exit 1; }; done

docs:
	@sh scripts/install-dependencies doxygen
	@$(MAKE) build
	@sh scripts/make-docs $(BUILD)

coverage:
	@sh scripts/install-dependencies gcovr
	@$(MAKE) build BUILD=$(BUILD)-coverage \
	    CMAKE_ARGS="-DCAMBIUM_TESTS=ON -DCAMBIUM_COVERAGE=ON $(CMAKE_ARGS)"
	@find $(BUILD)-coverage -name '*.gcda' -delete
	@sh scripts/run-tests $(BUILD)-coverage -j$(JOBS)
	@gcovr --root . --filter src/ --exclude-directories '.*cambium_simd_(avx2|baseline).*' --exclude-unreachable-branches --exclude-throw-branches --print-summary \
	    --sort-percentage -o $(BUILD)-coverage/coverage.txt $(BUILD)-coverage

fuzz:
	@sh scripts/install-dependencies clang
	@CC=clang $(MAKE) build BUILD=$(BUILD)-fuzz \
	    CMAKE_ARGS="-DCAMBIUM_LIBFUZZER=ON -DCAMBIUM_SANITIZE=address,undefined $(CMAKE_ARGS)"
	@sh scripts/run-tests $(BUILD)-fuzz -R '^fuzz\.'

format:
	@clang-format -i $$(git ls-files -co --exclude-standard '*.c' '*.h')

clean:
	@rm -rf $(BUILD) $(BUILD)-sanitize $(BUILD)-valgrind $(BUILD)-fuzz $(BUILD)-coverage $(ONEDNN3)
