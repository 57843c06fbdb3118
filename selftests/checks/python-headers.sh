#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# python-headers.sh: whether the interpreter that PYTHON names (python3) has its headers, as what
# builds the module needs.

exec "${PYTHON:-python3}" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null
