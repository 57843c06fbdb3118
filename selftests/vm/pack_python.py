#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""pack_python.py FILE: a tar with what a guest needs to run the tests of the Python module.

The interpreter that runs this, its standard library without what tests do not need, pytest,
the shared libraries of all of it at the paths that they have here, the module that "make
python" has built, and the tests. Exits with 3 and says why if something is not here.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import Iterator, Set

TOP = Path(__file__).resolve().parents[2]
MODULE = TOP / "build" / "python"

# Packages of the standard library that are large and that nothing here imports.
LEFT_OUT = {"test", "idlelib", "lib2to3", "ensurepip", "tkinter", "turtledemo", "pydoc_data"}
LEFT_OUT |= {"__pycache__", "site-packages", "dist-packages"}

# pytest and what it imports, as far as it is here.
PACKAGES = ["pytest", "_pytest", "pluggy", "iniconfig", "attr", "attrs", "packaging", "py"]
PACKAGES += ["exceptiongroup", "tomli"]


def missing(text: str) -> None:
    print(text, file=sys.stderr)
    sys.exit(3)


def package_path(name: str) -> "Path | None":
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return None
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin


def libraries(file: Path) -> Iterator[Path]:
    """The shared libraries that a program or a library needs.

    Python ends daemon threads by pthread_exit(), for which libc loads libgcc_s, which ldd does
    not see. Without it libc aborts.
    """
    said = subprocess.run(["ldd", str(file)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for name in re.findall(rb"(?:=> |^\s)(/\S+)", said.stdout, re.MULTILINE):
        path = Path(os.fsdecode(name))
        yield path
        if path.name.startswith("libc.so."):
            yield path.with_name("libgcc_s.so.1")


class Packer:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self.tar = tar
        self.packed: Set[str] = set()

    def file(self, source: Path, name: Path) -> None:
        """A file, and the libraries it needs if it is a program or a library itself."""
        if str(name) in self.packed:
            return
        self.packed.add(str(name))
        self.tar.add(source.resolve(), str(name), recursive=False)
        with open(source, "rb") as file:
            is_elf = file.read(4) == b"\x7fELF"
        for library in libraries(source) if is_elf else ():
            self.file(library, library)

    def tree(self, source: Path, name: Path) -> None:
        for where, directories, files in os.walk(source):
            directories[:] = [d for d in directories if d not in LEFT_OUT and "config-" not in d]
            at = Path(where)
            for file in files:
                self.file(at / file, name / at.relative_to(source) / file)


def main() -> None:
    if not MODULE.is_dir():
        missing(f"{MODULE} is not built")
    paths = {name: package_path(name) for name in PACKAGES}
    if paths["pytest"] is None:
        missing("pytest is not installed (python3-pytest)")
    stdlib = Path(sysconfig.get_path("stdlib"))
    with tarfile.open(sys.argv[1], "w") as tar:
        packer = Packer(tar)
        packer.file(Path(sys.executable), Path("bin/python"))
        packer.tree(stdlib, stdlib)
        for path in filter(None, paths.values()):
            name = Path("packages") / path.name
            if path.is_dir():
                packer.tree(path, name)
            else:
                packer.file(path, name)
        packer.tree(MODULE, Path("packages"))
        # Where tests and examples find each other, as here.
        for directory in ("selftests/python", "libuser/examples"):
            packer.tree(TOP / directory, Path(directory))


main()
