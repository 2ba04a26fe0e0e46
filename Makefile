# SPDX-License-Identifier: BSD-2-Clause
# Meson does the work; this file only names it. See README.md.

PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build

# All tests run twice: as built for use, and with AddressSanitizer, LeakSanitizer and
# UndefinedBehaviorSanitizer, whose stack frames are too large for -Wstack-usage.
SANITIZE = -Db_sanitize=address,undefined -Db_lundef=false -Dwerror=false

export DEBIAN_FRONTEND = noninteractive

.PHONY: all deps check demo install clean

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup --prefix=$(PREFIX) $(BUILD)

$(BUILD)-sanitized/build.ninja:
	meson setup $(SANITIZE) $(BUILD)-sanitized

deps:
	tools/install-deps

# Every test runs even when some fail; tools/test-summary has the last word.
check: deps
	$(MAKE) all $(BUILD)-sanitized/build.ninja
	ninja -C $(BUILD) meson-test-prereq
	ninja -C $(BUILD)-sanitized all meson-test-prereq
	rm -f $(BUILD)/meson-logs/testlog.json $(BUILD)-sanitized/meson-logs/testlog.json
	-meson test -C $(BUILD) --no-rebuild --print-errorlogs
	-meson test -C $(BUILD)-sanitized --no-rebuild --print-errorlogs
	@tools/test-summary $(BUILD) $(BUILD)-sanitized

demo: deps
	$(MAKE) all
	TCPCRYPTD=$(BUILD)/daemon/tcpcryptd TCPCRYPT=$(BUILD)/cli/tcpcrypt demo/demo.py

install: all
	meson configure --prefix=$(PREFIX) $(BUILD)
	DESTDIR=$(DESTDIR) meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) $(BUILD)-sanitized
