# SPDX-License-Identifier: GPL-2.0-only
#
# l3l2q: kernel module, library, tools, tests. "make help" lists the targets.

VERSION := $(shell sed -n 's/^.define L3L2Q_VERSION "\(.*\)"/\1/p' driver/main.c)
ABI := 1

KDIR ?= /lib/modules/$(shell uname -r)/build
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
BINDIR ?= $(PREFIX)/bin
INCLUDEDIR ?= $(PREFIX)/include
DATADIR ?= $(PREFIX)/share
MANDIR ?= $(DATADIR)/man
DESTDIR ?=
# Where installed tools look for the library. A package sets it to nothing.
RPATH ?= $$ORIGIN/../lib

# not include/config/kernel.release, which Debian leaves at the upstream version
KRELEASE := $(shell sed -n 's/^.define UTS_RELEASE "\(.*\)"/\1/p' $(KDIR)/include/generated/utsrelease.h 2>/dev/null)

ifneq ($(filter default undefined,$(origin CC)),)
CC := $(CROSS_COMPILE)gcc
endif
ifneq ($(filter default undefined,$(origin CXX)),)
CXX := $(CROSS_COMPILE)g++
endif
ifneq ($(filter default undefined,$(origin AR)),)
AR := $(CROSS_COMPILE)ar
endif

# What is built for another machine does not mix with what runs here.
BUILD := build$(if $(CROSS_COMPILE),/$(patsubst %-,%,$(notdir $(CROSS_COMPILE))))

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
MAKEFLAGS += --no-print-directory
endif
export V

MAKEFLAGS += -rR
.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: all help modules no-modules lib programs tools python demo check check-debug check-packages style native guest bench bench-vm bench-insn bench-readme install uninstall deb rpm reproducible clean tests kmod kmod-tests FORCE

all: lib tools $(if $(KRELEASE),modules,no-modules)

help:
	@echo 'make all          library and tools (the default), and the module if KDIR has the headers'
	@echo 'make modules      the kernel module for KDIR ($(KDIR))'
	@echo 'make lib          build/lib/libl3l2q.so.$(ABI), libl3l2q.a, l3l2q.pc, l3l2q-core.pc'
	@echo 'make tools        build/bin/*'
	@echo 'make python       build/python/l3l2q, for PYTHONPATH; pip installs libuser/python'
	@echo 'make demo         stream a file natively, then over the driver in a QEMU guest (INPUT=FILE)'
	@echo 'make check        style, native tests, and kselftests in a guest on a stock kernel'
	@echo 'make check-debug  the kselftests in a guest on a debug kernel (the first time builds it)'
	@echo 'make style, make native, make guest   the parts of check'
	@echo 'make fuzz         fuzzes the library for TIME seconds (600); findings in build/fuzz'
	@echo 'make bench        measures the library over memfd, against others (ARGS="--help" and so on)'
	@echo 'make bench-vm     the same over the driver, in a QEMU guest'
	@echo 'make bench-insn   counts instructions, against libuser/bench/insn/insn.txt (UPDATE=1 rewrites it,'
	@echo '                  V=1 says where they are)'
	@echo 'make bench-readme puts the results of bench and bench-vm into README.md'
	@echo 'make install      library, headers, tools, manual pages; the module if it was built'
	@echo 'make deb, make rpm          packages in build/deb, build/rpm'
	@echo 'make reproducible           builds the Debian packages twice and compares them'
	@echo 'make check-packages         installs and upgrades them in a chroot, boots what DKMS has built'
	@echo 'make uninstall    removes these; of modules, the one for KDIR'
	@echo 'make clean        removes everything built'
	@echo
	@echo 'KDIR=DIR ARCH=A CROSS_COMPILE=P-   kernel headers and compiler'
	@echo 'DESTDIR=DIR PREFIX=DIR             where to install ($(PREFIX))'
	@echo 'V=1                                show commands'
	@echo
	@echo 'demo, check* and bench* install the Debian packages they lack (as root or by sudo) and'
	@echo 'keep kernels in $${XDG_CACHE_HOME:-~/.cache}/l3l2q.'

# Kernel module
#
# Built in a tree of links, build/kmod-RELEASE, so that different kernels do not
# overwrite each other's objects and the source stays clean.

KMOD = $(BUILD)/kmod-$(KRELEASE)$(KMOD_SUFFIX)
KMOD_KEY = $(KDIR) $(ARCH) $(CROSS_COMPILE) $(if $(filter command,$(firstword $(origin CC))),$(CC)) $(KMOD_ARGS)
# kmake TREE
kmake = $(MAKE) $(if $(filter 1,$(V)),,-s) -C $(KDIR) M=$(abspath $(1)) \
	$(if $(ARCH),ARCH=$(ARCH)) $(if $(CROSS_COMPILE),CROSS_COMPILE=$(CROSS_COMPILE)) $(KMOD_ARGS)

modules: kmod
	$(Q)ln -sfn kmod-$(KRELEASE)/l3l2q.ko $(BUILD)/l3l2q.ko
	@echo '  MODULE  $(KMOD)/l3l2q.ko'

no-modules: | lib tools
	@echo '  The module was left out: there are no prepared kernel headers in $(KDIR).'

# kmod: the module without the link
kmod:
	@[ -n '$(KRELEASE)' ] || { echo 'There are no prepared kernel headers in $(KDIR):' \
		'install those of the running kernel, or set KDIR= to where others are.'; exit 1; } >&2
	$(Q)selftests/checks/link-tree.sh $(KMOD) '$(KMOD_KEY)' . Kbuild driver uapi
	+$(Q)$(call kmake,$(KMOD)) modules

# Library

CFLAGS ?= -O2 -g
# A new compiler's warnings should not stop users: only the checks set WERROR=-Werror.
WERROR ?=
LIB_CFLAGS := -std=c11 -D_GNU_SOURCE -Wall -Wextra $(WERROR) -fPIC -fvisibility=hidden -pthread \
	-DL3L2Q_VERSION=$(VERSION) -Ilibuser/include -Ilibuser/src -Iuapi
LIB_SRCS := $(sort $(wildcard libuser/src/*.c))
LIB_MAP := libuser/src/libl3l2q.map
LIB_SO := $(BUILD)/lib/libl3l2q.so.$(ABI)
LIB_A := $(BUILD)/lib/libl3l2q.a
LIB_PCS := $(BUILD)/lib/l3l2q.pc $(BUILD)/lib/l3l2q-core.pc
# a program for each directory
TOOL_NAMES := $(sort $(patsubst libuser/tools/%/,%,$(wildcard libuser/tools/*/)))
TOOLS := $(TOOL_NAMES:%=$(BUILD)/bin/%)
STATIC_TOOLS := $(TOOL_NAMES:%=$(BUILD)/bin-static/%)
ASAN_TOOLS := $(TOOL_NAMES:%=$(BUILD)/asan/%)
# aicpu.c is for a program without libc; the others are programs
EXAMPLES := $(patsubst libuser/examples/%.c,$(BUILD)/examples/%,\
	$(filter-out %/aicpu.c,$(sort $(wildcard libuser/examples/*.c))))
AICPU_EXAMPLE := $(BUILD)/examples/aicpu.o
CXX_EXAMPLES := $(patsubst libuser/examples/%.cc,$(BUILD)/examples/cxx/%,$(sort $(wildcard libuser/examples/*.cc)))

lib: $(LIB_SO) $(BUILD)/lib/libl3l2q.so $(LIB_A) $(LIB_PCS)
# what "make install" takes of the tools
programs: $(TOOLS)
tools: programs $(STATIC_TOOLS) $(EXAMPLES) $(AICPU_EXAMPLE)

# The library once for each variant: plain is what gets installed, the others
# are for the tests. More optimisation of checked code takes longer to compile than it saves.
SAN_plain :=
SAN_asan := -Werror -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SAN_tsan := -Werror -O1 -fsanitize=thread -fno-omit-frame-pointer
VARIANTS := plain asan tsan

define variant
LIB_OBJS_$(1) := $(LIB_SRCS:libuser/src/%.c=$(BUILD)/$(1)/lib/%.o)

$(BUILD)/$(1)/lib/%.o: libuser/src/%.c $(BUILD)/flags
	$$(say) CC '$$<$(if $(SAN_$(1)), ($(1)))'
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS) $$(LIB_CFLAGS) $$(CPPFLAGS) $(SAN_$(1)) -MMD -MP -c -o $$@ $$<

-include $$(LIB_OBJS_$(1):.o=.d)
endef
$(foreach v,$(VARIANTS),$(eval $(call variant,$(v))))

define archive
	$(say) AR $@
	$(Q)mkdir -p $(@D)
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)
endef

$(LIB_A): $(LIB_OBJS_plain)
	$(archive)

$(BUILD)/asan/libl3l2q.a: $(LIB_OBJS_asan)
	$(archive)

$(BUILD)/tsan/libl3l2q.a: $(LIB_OBJS_tsan)
	$(archive)

$(LIB_SO): $(LIB_OBJS_plain) $(LIB_MAP)
	$(say) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -shared -pthread -Wl,-soname,$(@F) -Wl,--version-script=$(LIB_MAP) \
		-Wl,-z,defs -Wl,-z,relro,-z,now -o $@ $(LIB_OBJS_plain)

$(BUILD)/lib/libl3l2q.so: $(LIB_SO)
	$(Q)ln -sfn $(<F) $@

$(LIB_PCS): $(BUILD)/lib/%.pc: libuser/%.pc.in $(BUILD)/flags
	$(say) GEN $@
	$(Q)mkdir -p $(@D)
	$(Q)sed -e 's,@PREFIX@,$(PREFIX),gI; s,@LIBDIR@,$(LIBDIR),gI; s,@INCLUDEDIR@,$(INCLUDEDIR),gI' \
		-e 's,@VERSION@,$(VERSION),gI' $< >$@

comma := ,
TOOL_CFLAGS := -std=gnu11 -D_GNU_SOURCE -Wall -Wextra $(WERROR) -pthread -Ilibuser/include -Iuapi

PUBLIC_HEADERS := $(wildcard libuser/include/*.h libuser/include/l3l2q/*.h uapi/linux/*.h)

TOOL_HEADERS := $(wildcard libuser/tools/*.h libuser/tools/*/*.h) $(PUBLIC_HEADERS)
tool_objects = $(patsubst libuser/tools/%.c,$(BUILD)/tools/%.o,$(wildcard libuser/tools/$(1)/*.c))

$(BUILD)/tools/%.o: libuser/tools/%.c $(TOOL_HEADERS) $(BUILD)/flags
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(TOOL_CFLAGS) $(CPPFLAGS) -c -o $@ $<

# tool NAME DIRECTORY FLAGS LIBRARY LINK: of the same objects
define tool
$(BUILD)/$(2)/$(1): $(call tool_objects,$(1)) $(4)
	$$(say) LD $$@
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS) $$(LDFLAGS) -pthread $(3) -o $$@ $$(filter %.o,$$^) $(5) -lm
endef

# What is installed finds the library from where it was built and from there.
RPATH_FLAG = $(if $(RPATH),'-Wl$(comma)-rpath$(comma)$(RPATH)')
$(foreach t,$(TOOL_NAMES),$(eval $(call tool,$(t),bin,,$(BUILD)/lib/libl3l2q.so,\
	-L$(BUILD)/lib -ll3l2q $$(RPATH_FLAG))))
$(foreach t,$(TOOL_NAMES),$(eval $(call tool,$(t),bin-static,-static,$(LIB_A),$(LIB_A))))

# asan_tool NAME
define asan_tool
$(BUILD)/asan/$(1): $(wildcard libuser/tools/$(1)/*.c) $(TOOL_HEADERS) $(BUILD)/asan/libl3l2q.a $(BUILD)/flags
	$$(say) CCLD $$@
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS) $$(TOOL_CFLAGS) $$(CPPFLAGS) $$(LDFLAGS) $(SAN_asan) -o $$@ $$(filter %.c %.a,$$^) -lm
endef
$(foreach t,$(TOOL_NAMES),$(eval $(call asan_tool,$(t))))

$(EXAMPLES): $(BUILD)/examples/%: libuser/examples/%.c $(BUILD)/lib/libl3l2q.so $(BUILD)/flags
	$(say) CCLD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(TOOL_CFLAGS) $(CPPFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d -MT $@ -o $@ $< \
		-L$(BUILD)/lib -ll3l2q -lm '-Wl,-rpath,$$ORIGIN/../lib'

$(AICPU_EXAMPLE): libuser/examples/aicpu.c $(BUILD)/flags
	$(say) CC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -std=c11 -Wall -Wextra $(WERROR) -ffreestanding $(CPPFLAGS) -Ilibuser/include -Iuapi \
		-MMD -MP -MF $@.d -MT $@ -c -o $@ $<

# By name: tools do not need a compiler for C++. orchestration.cc has the names of g2; guests
# get it linked statically.
define cxx_example
	$(say) CXXLD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CXX) $(CFLAGS) -std=c++17 -Wall -Wextra $(WERROR) $(CPPFLAGS) $(LDFLAGS) -Ilibuser/include \
		-Ilibuser/include/l3l2q/simpler/g2 -Iuapi -MMD -MP -MF $@.d -MT $@ -o $@ $<
endef

$(CXX_EXAMPLES): $(BUILD)/examples/cxx/%: libuser/examples/%.cc $(BUILD)/lib/libl3l2q.so $(BUILD)/flags
	$(cxx_example) -L$(BUILD)/lib -ll3l2q '-Wl,-rpath,$$ORIGIN/../../lib'

$(BUILD)/bin-static/orchestration: libuser/examples/orchestration.cc $(LIB_A) $(BUILD)/flags
	$(cxx_example) -static $(LIB_A)

-include $(EXAMPLES:=.d) $(AICPU_EXAMPLE).d $(CXX_EXAMPLES:=.d) $(BUILD)/bin-static/orchestration.d

# Python: the module with the library inside. pip builds the same by setup.py.

PYTHON ?= python3
PYTHON_INCLUDE = $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')
PYTHON_CFLAGS := -std=gnu11 -D_GNU_SOURCE -Wall -Wextra $(WERROR) -fPIC -fvisibility=hidden -pthread \
	-Ilibuser/include -Iuapi
PYTHON_MAP := libuser/python/src/_l3l2q.map
# .abi3 is what interpreters before 3.11 look for too
PYTHON_SO := l3l2q/_l3l2q.abi3.so

# python NAME DIRECTORY FLAGS LIBRARY
define python
.PHONY: $(1)
$(1): $(BUILD)/$(2)/$(PYTHON_SO)
	$$(Q)find $(BUILD)/$(2) \( -name '*.py*' -o -name py.typed \) -delete
	$$(Q)cd libuser/python && find l3l2q \( -name '*.py' -o -name '*.pyi' -o -name py.typed \) \
		-exec cp --parents -p -t $$(abspath $(BUILD)/$(2)) {} +

$(BUILD)/$(2)/$(PYTHON_SO): $$(wildcard libuser/python/src/*.[ch]) $(PYTHON_MAP) $(PUBLIC_HEADERS) $(4) $(BUILD)/flags
	$$(say) CCLD $$@
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS) $(PYTHON_CFLAGS) -isystem $$(PYTHON_INCLUDE) $$(CPPFLAGS) $$(LDFLAGS) $(3) -shared \
		-Wl,--version-script=$(PYTHON_MAP) -o $$@ $$(filter libuser/python/src/%.c,$$^) $(4)
endef
$(eval $(call python,python,python,,$(LIB_A)))
$(eval $(call python,python-asan,python-asan,$(SAN_asan),$(BUILD)/asan/libl3l2q.a))

# Benchmarks: with those peers whose packages are there, and a static one for guests

BENCH_SRCS := $(sort $(wildcard libuser/bench/*.c))
BENCH := $(BUILD)/bench/l3l2q-bench
BENCH_STATIC := $(BUILD)/bench-static/l3l2q-bench
HAVE_DPDK := $(shell pkg-config --exists libdpdk 2>/dev/null && echo 1)
HAVE_URING := $(shell pkg-config --exists liburing 2>/dev/null && echo 1)
HAVE_BOOST := $(if $(wildcard /usr/include/boost/lockfree/spsc_queue.hpp),$(shell command -v $(CXX) >/dev/null && echo 1))
PEER_CFLAGS := $(if $(HAVE_DPDK),-DL3L2Q_BENCH_DPDK) $(if $(HAVE_URING),-DL3L2Q_BENCH_URING) \
	$(if $(HAVE_BOOST),-DL3L2Q_BENCH_BOOST)
$(BUILD)/bench/link_rte.o: PEER_CFLAGS += $(if $(HAVE_DPDK),$(patsubst -I%,-isystem %,$(shell pkg-config --cflags libdpdk)))
PEER_LIBS := $(if $(HAVE_BOOST),$(BUILD)/bench/link_boost.o) \
	$(if $(HAVE_DPDK),-Wl$(comma)--as-needed -lrte_ring -lrte_eal) $(if $(HAVE_URING),-luring)

# bench DIRECTORY PEER_CFLAGS LINK
define bench
$(BUILD)/$(1)/%.o: libuser/bench/%.c $(BUILD)/flags $(BUILD)/bench/peers
	$$(say) CC '$$< ($(1))'
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS) $$(TOOL_CFLAGS) $$(CPPFLAGS) $(2) -MMD -MP -c -o $$@ $$<

$(BUILD)/$(1)/l3l2q-bench: $$(BENCH_SRCS:libuser/bench/%.c=$(BUILD)/$(1)/%.o) $(LIB_A)
	$$(say) CCLD $$@
	$$(Q)$$(CC) $$(CFLAGS) $$(LDFLAGS) -pthread -o $$@ $$(filter-out %/link_boost.o,$$^) $(3)

-include $$(BENCH_SRCS:libuser/bench/%.c=$(BUILD)/$(1)/%.d)
endef
$(eval $(call bench,bench,$$(PEER_CFLAGS),$$(PEER_LIBS)))
$(eval $(call bench,bench-static,,-static))

$(BENCH): $(if $(HAVE_BOOST),$(BUILD)/bench/link_boost.o)
$(BUILD)/bench/link_boost.o: libuser/bench/link_boost.cc $(BUILD)/flags $(BUILD)/bench/peers
	$(say) CXX $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CXX) $(CFLAGS) -std=gnu++20 -fno-exceptions -fno-rtti -D_GNU_SOURCE -Wall -Wextra $(WERROR) -pthread \
		-Ilibuser/include -Iuapi $(CPPFLAGS) $(PEER_CFLAGS) -MMD -MP -c -o $@ $<

-include $(BUILD)/bench/link_boost.d

# Instruction counts: flags of their own, for they have to be the table's

INSN := $(BUILD)/insn
INSN_FLAGS := -O2 -g
INSN_DEPS := $(wildcard libuser/src/*.h) $(PUBLIC_HEADERS) $(BUILD)/flags

$(INSN)/libl3l2q.so.$(ABI): $(LIB_SRCS) $(LIB_MAP) $(INSN_DEPS)
	$(say) CCLD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(INSN_FLAGS) $(LIB_CFLAGS) -shared -Wl,-soname,$(@F) -Wl,--version-script=$(LIB_MAP) \
		-Wl,-z,defs -Wl,-z,relro,-z,now -o $@ $(LIB_SRCS)

$(INSN)/library: libuser/bench/insn/insn.c $(INSN)/libl3l2q.so.$(ABI) $(INSN_DEPS)
	$(say) CCLD $@
	$(Q)$(CC) $(INSN_FLAGS) $(TOOL_CFLAGS) -o $@ $(filter %.c %.so.$(ABI),$^) '-Wl,-rpath,$$ORIGIN'

$(INSN)/core: libuser/bench/insn/insn.c $(INSN_DEPS)
	$(say) CCLD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(INSN_FLAGS) $(TOOL_CFLAGS) -DINSN_CORE -o $@ $<

bench-insn:
	$(Q)selftests/vm/packages.sh build insn
	+$(Q)$(MAKE) $(INSN)/library $(INSN)/core
	$(Q)libuser/bench/insn/insn.pl $(if $(UPDATE),--update) $(if $(filter 1,$(V)),--functions) libuser/bench/insn/insn.txt \
		'$(CC)' $(INSN)

# Changes when the compiler, its flags or the place to install do.
$(BUILD)/flags: FLAGS = $(CC) $(CFLAGS) $(CPPFLAGS) $(LDFLAGS) $(LIB_CFLAGS) $(PREFIX) $(LIBDIR) $(INCLUDEDIR) $(RPATH)
# Changes when one of the benchmarks' peers is installed or removed.
$(BUILD)/bench/peers: FLAGS = $(PEER_CFLAGS)

$(BUILD)/flags $(BUILD)/bench/peers: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(FLAGS)' >$@.$$$$; \
		if cmp -s $@.$$$$ $@; then rm -f $@.$$$$; else mv $@.$$$$ $@; fi

include selftests/Makefile

# Demo, checks and benchmarks

demo:
	$(Q)selftests/vm/packages.sh build guest python
	+$(Q)INPUT='$(INPUT)' selftests/checks/demo.sh

check:
	$(Q)selftests/vm/packages.sh build guest check fuzz deb udev
	+$(Q)MAKE='$(MAKE)' selftests/checks/check.sh check

check-debug:
	$(Q)selftests/vm/packages.sh build guest check fuzz
	+$(Q)MAKE='$(MAKE)' selftests/checks/check.sh debug

check-packages:
	$(Q)selftests/vm/packages.sh build guest deb packages rpm
	+$(Q)MAKE='$(MAKE)' selftests/checks/check.sh packages

# parts of check
style native guest: %:
	$(Q)selftests/vm/packages.sh build guest check fuzz
	+$(Q)MAKE='$(MAKE)' selftests/checks/check.sh $@

bench:
	$(Q)selftests/vm/packages.sh build bench python
	+$(Q)ARGS='$(ARGS)' CC='$(CC)' selftests/checks/bench.sh native

bench-vm:
	$(Q)selftests/vm/packages.sh build guest plot
	+$(Q)ARGS='$(ARGS)' CC='$(CC)' selftests/checks/bench.sh vm

bench-readme:
	$(Q)selftests/vm/packages.sh build guest bench python
	+$(Q)CC='$(CC)' selftests/checks/bench.sh readme

# Packages: built in a copy of the tree below build/, so the tree stays clean

deb:
	$(Q)selftests/vm/packages.sh build deb
	$(Q)libuser/packaging/deb.sh build/deb
	@for f in build/deb/*.deb; do echo "  DEB     $$f"; done

rpm:
	$(Q)selftests/vm/packages.sh build rpm
	$(Q)libuser/packaging/rpm.sh build/rpm
	@for f in build/rpm/*.rpm; do echo "  RPM     $$f"; done

# two builds, and their checksums if they are the same
reproducible:
	$(Q)selftests/vm/packages.sh build deb
	$(Q)libuser/packaging/reproducible.sh

# Installation. "FROM TO MODE" for each file, so that uninstall knows exactly
# what install did.

MAN_PAGES := $(sort $(wildcard $(foreach s,1 3 4 7,libuser/man/*.$(s))))
define install-list
	{ echo '$(LIB_SO) $(LIBDIR)/libl3l2q.so.$(ABI) 755'; \
	  echo '$(LIB_A) $(LIBDIR)/libl3l2q.a 644'; \
	  for f in $(LIB_PCS); do echo "$$f $(LIBDIR)/pkgconfig/$${f##*/} 644"; done; \
	  for f in $(TOOL_NAMES); do echo "$(BUILD)/bin/$$f $(BINDIR)/$$f 755"; done; \
	  echo 'libuser/tools/l3l2qctl/l3l2qctl.bash $(DATADIR)/bash-completion/completions/l3l2qctl 644'; \
	  echo 'libuser/tools/l3l2qctl/_l3l2qctl $(DATADIR)/zsh/site-functions/_l3l2qctl 644'; \
	  (cd libuser/include && find . -type f -name '*.h*') | LC_ALL=C sort | \
		sed 's,^\./\(.*\),libuser/include/\1 $(INCLUDEDIR)/\1 644,'; \
	  for f in $(notdir $(wildcard uapi/linux/l3l2q*.h)); do \
		echo "uapi/linux/$$f $(INCLUDEDIR)/linux/$$f 644"; done; \
	  for f in $(MAN_PAGES); do echo "$$f $(MANDIR)/man$${f##*.}/$${f##*/} 644"; done; }
endef

KMOD_KO = $(if $(KRELEASE),$(KMOD)/l3l2q.ko)
KMOD_DIR = /lib/modules/$(KRELEASE)/extra
# Kbuild's modules_install leaves depmod out where the headers have no System.map,
# as distributions' have not. A package runs depmod where it is unpacked.
depmod = [ -n '$(DESTDIR)' ] || PATH="$$PATH:/usr/sbin:/sbin" depmod '$(KRELEASE)' || \
	echo '  run depmod $(KRELEASE): modprobe does not know of the change yet'

install: lib programs
	$(Q)$(install-list) | while read -r from to mode; do \
		[ -z '$(filter 1,$(V))' ] || echo "install $$from $(DESTDIR)$$to"; \
		install -D -m "$$mode" "$$from" "$(DESTDIR)$$to" || exit 1; \
	done
	$(Q)ln -sfn libl3l2q.so.$(ABI) $(DESTDIR)$(LIBDIR)/libl3l2q.so
	$(Q)[ -n '$(DESTDIR)' ] || ldconfig 2>/dev/null || :
	$(Q)if [ -e '$(KMOD_KO)' ]; then \
		echo '  INSTALL $(DESTDIR)$(KMOD_DIR)/l3l2q.ko'; \
		install -D -m 644 '$(KMOD_KO)' '$(DESTDIR)$(KMOD_DIR)/l3l2q.ko' || exit 1; \
		$(depmod); \
	else \
		echo '  no module was built for $(KDIR): not installed'; \
	fi

uninstall:
	$(Q)$(install-list) | while read -r from to mode; do rm -f "$(DESTDIR)$$to"; done
	$(Q)rm -f $(DESTDIR)$(LIBDIR)/libl3l2q.so
	$(Q)(cd libuser/include && find . -mindepth 1 -depth -type d) | \
		while read -r dir; do rmdir "$(DESTDIR)$(INCLUDEDIR)/$$dir" 2>/dev/null || :; done
	$(Q)[ -n '$(DESTDIR)' ] || ldconfig 2>/dev/null || :
	$(Q)if [ -n '$(KRELEASE)' ] && [ -e '$(DESTDIR)$(KMOD_DIR)/l3l2q.ko' ]; then \
		rm -f '$(DESTDIR)$(KMOD_DIR)/l3l2q.ko'; \
		$(depmod); \
	fi
	@for ko in '$(DESTDIR)'/lib/modules/*/extra/l3l2q.ko; do \
		[ ! -e "$$ko" ] || echo "  $$ko stays: it is of another kernel than $(KDIR)'s"; \
	done

clean:
	$(Q)rm -rf build libuser/python/build libuser/python/*.egg-info
	$(Q)find . -path ./.git -prune -o -type f \( -name '*.o' -o -name '*.ko' -o -name '*.mod' -o -name '*.mod.c' \
		-o -name '.*.cmd' -o -name '.*.o.d' -o -name modules.order -o -name Module.symvers \
		-o -name '.probe*' \) -exec rm -f {} +
