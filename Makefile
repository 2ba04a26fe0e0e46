# SPDX-License-Identifier: BSD-2-Clause
# Meson does the work; this file only names it. See README.md.

PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build

# All tests run twice: as built for use, and with AddressSanitizer, LeakSanitizer and
# UndefinedBehaviorSanitizer, whose stack frames are too large for -Wstack-usage. The unit tests
# run a third time as clang builds them, and with clang libFuzzer runs the fuzz targets for a
# moment. Some network tests run again on an emulated machine with the oldest kernel that is supported.
# ThreadSanitizer has a target of its own, check-tsan, and the sanitized library in programs, check-inproc.
SANITIZE = -Db_sanitize=address,undefined -Db_lundef=false -Dwerror=false

SANITIZE_THREADS = -Db_sanitize=thread -Db_lundef=false -Dwerror=false

# Tests wait more than they work, and are not measured: more at a time than there are processors.
TEST = meson test --no-rebuild --print-errorlogs --num-processes 4 --timeout-multiplier 2

# `make fuzz` runs each target for so long.
FUZZ_SECONDS ?= 60

# How long `make soak` takes.
SOAK_MINUTES ?= 30

export DEBIAN_FRONTEND = noninteractive

.PHONY: all deps check check-inproc check-tsan demo fuzz soak bench bench-quick install uninstall clean

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup --prefix=$(PREFIX) $(BUILD)

$(BUILD)-sanitized/build.ninja:
	meson setup $(SANITIZE) $(BUILD)-sanitized

$(BUILD)-tsan/build.ninja:
	meson setup $(SANITIZE_THREADS) $(BUILD)-tsan

$(BUILD)-clang/build.ninja:
	CC=clang meson setup $(BUILD)-clang

deps:
	tools/install-deps

# Every test runs even when some fail; tools/test-summary has the last word.
check:
	tools/install-deps check
	$(MAKE) all $(BUILD)-sanitized/build.ninja $(BUILD)-clang/build.ninja
	ninja -C $(BUILD) meson-test-prereq
	ninja -C $(BUILD)-sanitized all meson-test-prereq
	ninja -C $(BUILD)-clang all meson-test-prereq
	rm -f $(foreach b,$(BUILD) $(BUILD)-sanitized $(BUILD)-clang,$(b)/meson-logs/testlog.json)
	-$(TEST) -C $(BUILD)
	-$(TEST) -C $(BUILD)-sanitized --no-suite inproc
	-$(TEST) -C $(BUILD)-clang --suite unit --suite fuzz
	@tools/test-summary $(BUILD) $(BUILD)-sanitized $(BUILD)-clang

# Unit and network tests; races between the daemon's threads fail them.
check-tsan: deps
	$(MAKE) $(BUILD)-tsan/build.ninja
	ninja -C $(BUILD)-tsan all meson-test-prereq
	rm -f $(BUILD)-tsan/meson-logs/testlog.json
	-$(TEST) -C $(BUILD)-tsan --suite unit --suite net
	@tools/test-summary $(BUILD)-tsan

# The library in programs, with AddressSanitizer and UndefinedBehaviorSanitizer.
check-inproc: deps
	$(MAKE) $(BUILD)-sanitized/build.ninja
	ninja -C $(BUILD)-sanitized all meson-test-prereq
	rm -f $(BUILD)-sanitized/meson-logs/testlog.json
	-$(TEST) -C $(BUILD)-sanitized --suite inproc
	@tools/test-summary $(BUILD)-sanitized

# Long fuzzing; what is found new is kept in the build directory.
fuzz: deps
	$(MAKE) $(BUILD)-clang/build.ninja
	ninja -C $(BUILD)-clang
	fuzz/long.sh $(BUILD)-clang $(FUZZ_SECONDS)

# Mixed traffic over a bad link for half an hour. One end is built for use, and its memory is
# measured; the other is sanitized.
SOAK = TCPCRYPTD=$(BUILD)/daemon/tcpcryptd TCPCRYPTD_LEFT=$(BUILD)-sanitized/daemon/tcpcryptd \
       TCPCRYPT=$(BUILD)/cli/tcpcrypt TRAFFIC=$(BUILD)/test/net/traffic \
       BAD_WIRE=$(BUILD)/test/net/bad_wire SOAK_MINUTES=$(SOAK_MINUTES)

soak: deps
	$(MAKE) all $(BUILD)-sanitized/build.ninja
	ninja -C $(BUILD) test/net/traffic test/net/bad_wire
	ninja -C $(BUILD)-sanitized daemon/tcpcryptd
	$(SOAK) test/net/soak.py

demo: deps
	$(MAKE) all
	TCPCRYPTD=$(BUILD)/daemon/tcpcryptd TCPCRYPT=$(BUILD)/cli/tcpcrypt demo/demo.py

# See bench/README.md; ROUNDS, SECONDS, SUBJECTS, WORKLOADS and BEFORE are passed on.
export ROUNDS SECONDS SUBJECTS WORKLOADS BEFORE
bench:
	tools/install-deps bench
	$(MAKE) all
	TCPCRYPTD=$(BUILD)/daemon/tcpcryptd TCPCRYPT=$(BUILD)/cli/tcpcrypt LOAD=$(BUILD)/bench/load \
		TCPCRYPT_INPROC_LIBRARY=$(CURDIR)/$(BUILD)/inproc/libtcpcrypt-inproc.so \
		bench/run.py

# Three workloads of plain TCP and tcpcrypt, a minute.
bench-quick:
	$(MAKE) bench ROUNDS=3 SUBJECTS=plain,tcpcrypt WORKLOADS=bulk,connect,http,ping

install: all
	meson configure --prefix=$(PREFIX) $(BUILD)
	DESTDIR=$(DESTDIR) meson install -C $(BUILD)
	[ -n "$(DESTDIR)" ] || tools/make-user
	[ -n "$(DESTDIR)" ] || /sbin/ldconfig

# What `install` has put there but for the user, with the DESTDIR and PREFIX of then.
uninstall:
	ninja -C $(BUILD) uninstall
	[ -n "$(DESTDIR)" ] || /sbin/ldconfig

clean:
	rm -rf $(BUILD) $(BUILD)-sanitized $(BUILD)-clang $(BUILD)-tsan
