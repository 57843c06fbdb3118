# SPDX-License-Identifier: GPL-2.0-only
#
# Feature probes. Each driver/probes/NAME.c that compiles against this kernel
# defines L3L2Q_HAVE_NAME (upper case). No version numbers: distribution
# kernels backport interfaces and keep their old version.
#
# The answers are kept next to the objects, for kbuild reads this file several
# times in one build; they are found anew for another kernel, compiler or probe.

l3l2q-probe-names := $(notdir $(basename $(wildcard $(src)/driver/probes/*.c)))
l3l2q-probe-cache := $(obj)/driver/.probes.mk

# The kernel's flags without its warnings, which W=1 and the like change; what
# tells one interface from another is an error.
l3l2q-probe-flags := $(NOSTDINC_FLAGS) $(LINUXINCLUDE) $(KBUILD_CPPFLAGS) $(KBUILD_CFLAGS) \
	$(KBUILD_CFLAGS_MODULE) $(CFLAGS_MODULE)
l3l2q-probe-flags := $(filter-out -W%,$(l3l2q-probe-flags)) $(filter -Wa$(comma)% -Wp$(comma)%,$(l3l2q-probe-flags)) \
	-DMODULE $(addprefix -Werror=,implicit-function-declaration incompatible-pointer-types int-conversion) \
	-DKBUILD_MODNAME='"l3l2q"' -DKBUILD_BASENAME='"probe"' -D__KBUILD_MODNAME=kmod_l3l2q \
	-DKBUILD_MODFILE='"l3l2q"'
l3l2q-upper = $(shell echo '$(1)' | tr a-z A-Z)

# Only where objects get built: "make clean" has no configuration to ask.
ifneq ($(CONFIG_MODULES)$(CONFIG_CC_VERSION_TEXT),)
l3l2q-probe-want := $(strip $(shell echo '$(CC) $(KERNELRELEASE) $(abspath $(srctree)) $(abspath $(objtree))' \
	'$(CONFIG_CC_VERSION_TEXT)' '$(l3l2q-probe-names)'; cat $(src)/driver/probes/*.c | cksum))

-include $(l3l2q-probe-cache)

ifneq ($(l3l2q-probe-have),$(l3l2q-probe-want))
l3l2q-probe-try = $(shell $(CC) $(l3l2q-probe-flags) -c -o $(obj)/driver/.probe.o \
	$(src)/driver/probes/$(1).c >$(obj)/driver/.probe.$(1).log 2>&1 && echo y)
l3l2q-probe-run := $(shell mkdir -p $(obj)/driver)
ifneq ($(call l3l2q-probe-try,always),y)
$(error l3l2q: nothing compiles against this kernel, see $(obj)/driver/.probe.always.log)
endif
l3l2q-probe-defs := $(foreach p,$(l3l2q-probe-names),$(if $(filter y,$(call l3l2q-probe-try,$(p))),\
	-DL3L2Q_HAVE_$(call l3l2q-upper,$(p))))
l3l2q-probe-defs := $(strip $(filter-out -DL3L2Q_HAVE_ALWAYS,$(l3l2q-probe-defs)))
$(shell printf '%s\n' 'l3l2q-probe-have := $(l3l2q-probe-want)' \
	'l3l2q-probe-defs := $(l3l2q-probe-defs)' >$(l3l2q-probe-cache).$$$$ && \
	mv $(l3l2q-probe-cache).$$$$ $(l3l2q-probe-cache); rm -f $(obj)/driver/.probe.o)
endif

ccflags-y += $(l3l2q-probe-defs)
endif

clean-files += driver/.probes.mk driver/.probe.*.log
