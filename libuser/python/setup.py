# SPDX-License-Identifier: MIT
"""Build the extension module with the library inside, or against the installed one.

The library's sources are those of the tree around this directory; a source distribution
has a copy of them in libl3l2q/, since it contains this directory alone.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
TREE = Path(os.environ.get("L3L2Q_TREE", HERE.parent.parent))
COPY = HERE / "libl3l2q"
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
LIMITED_API = sys.version_info >= (3, 11) and not FREE_THREADED


if not COPY.is_dir() and not (TREE / "libuser" / "src").is_dir():
    # pip before 21.3 builds in a copy of this directory.
    sys.exit("l3l2q: the library's sources are not around this directory: set L3L2Q_TREE to the tree")


def library_directories():
    """Where the library's sources, its headers and the kernel's are."""
    if COPY.is_dir():
        return COPY / "src", COPY / "include", COPY / "uapi"
    return TREE / "libuser" / "src", TREE / "libuser" / "include", TREE / "uapi"


def version():
    if (HERE / "PKG-INFO").exists():
        return re.search(r"^Version: (.+)$", (HERE / "PKG-INFO").read_text(), re.M)[1]
    source = (TREE / "driver" / "main.c").read_text()
    return re.search(r'^#define L3L2Q_VERSION "(.+)"$', source, re.M)[1]


def pkg_config(option):
    return shlex.split(subprocess.check_output(["pkg-config", option, "l3l2q"], text=True))


class BuildExtension(build_ext):
    """Where the library is, is decided when the extension is built."""

    def build_extension(self, ext):
        if os.environ.get("L3L2Q_SYSTEM_LIBRARY"):
            ext.extra_compile_args += pkg_config("--cflags")
            ext.extra_link_args += pkg_config("--libs")
        else:
            sources, *headers = library_directories()
            ext.sources = ext.sources + sorted(map(str, sources.glob("*.c")))
            ext.include_dirs = [str(sources), *map(str, headers), *ext.include_dirs]
        super().build_extension(ext)


class SourceDistribution(sdist):
    """Take the library's sources along."""

    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        for directory in library_directories():
            shutil.copytree(
                directory,
                Path(base_dir) / COPY.name / directory.name,
                ignore=lambda _, names: [n for n in names if Path(n).suffix in (".o", ".d", ".md")],
            )


setup(
    version=version(),
    cmdclass={"build_ext": BuildExtension, "sdist": SourceDistribution},
    ext_modules=[
        Extension(
            "l3l2q._l3l2q",
            sources=sorted(str(p.relative_to(HERE)) for p in (HERE / "src").glob("*.c")),
            depends=["src/pyl3l2q.h", "src/_l3l2q.map"],
            define_macros=[("_GNU_SOURCE", None), ("L3L2Q_VERSION", version())],
            extra_compile_args=["-std=gnu11", "-fvisibility=hidden", "-pthread"],
            extra_link_args=["-pthread", f"-Wl,--version-script={HERE / 'src' / '_l3l2q.map'}"],
            py_limited_api=LIMITED_API,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if LIMITED_API else {},
)
