# SPDX-License-Identifier: GPL-2.0-only
"""Types, documentation and builds of the package."""

from __future__ import annotations

import inspect
import os
import pydoc
import shutil
import subprocess
import sys
import sysconfig
import types
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import pytest
from native_util import LONG

import l3l2q
import l3l2q.aio

TREE = Path(__file__).resolve().parents[2]
SOURCE = TREE / "libuser" / "python"
PACKAGE = Path(l3l2q.__file__).parent

pytestmark = pytest.mark.skipif(
    "asan" in str(PACKAGE), reason="the same with and without sanitizers"
)


def need(tool: str) -> str:
    path = shutil.which(tool)
    if not path:
        pytest.skip(f"{tool} is not installed")
    return path


def run(*command: Any, **options: Any) -> str:
    """Output of a command that has to succeed."""
    result = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=5 * LONG,
        **options,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def test_mypy_strict(tmp_path: Path) -> None:
    mypy = need("mypy")
    run(mypy, "--strict", "--python-version", "3.9", "--cache-dir", tmp_path, "-p", "l3l2q",
        cwd=SOURCE, env={**os.environ, "MYPYPATH": "", "PYTHONPATH": ""})  # fmt: skip


def test_stubs_are_what_the_module_has(tmp_path: Path) -> None:
    stubtest = need("stubtest")
    path = str(PACKAGE.parent)
    run(stubtest, "l3l2q._l3l2q", cwd=tmp_path,
        env={**os.environ, "MYPYPATH": path, "PYTHONPATH": path})  # fmt: skip


def public() -> Iterator[Tuple[str, Any]]:
    """What help(l3l2q) shows, with what is in its classes."""
    for module in (l3l2q, l3l2q.aio):
        for name in module.__all__:
            value = getattr(module, name)
            yield f"{module.__name__}.{name}", value
            if isinstance(value, type) and value.__module__.startswith("l3l2q"):
                for inner, attribute in vars(value).items():
                    if not inner.startswith("_"):
                        yield f"{module.__name__}.{name}.{inner}", attribute


def test_everything_public_is_documented() -> None:
    for name, value in public():
        if isinstance(value, (str, int, tuple)):
            continue
        assert inspect.getdoc(value), name
    text = pydoc.render_doc(l3l2q, renderer=pydoc.plaintext)
    for word in ("create(transport=None", "class Producer", "enqueue(self, /, body=None"):
        assert word in text


def test_every_method_has_a_signature() -> None:
    for name, value in public():
        if isinstance(value, (types.BuiltinFunctionType, types.MethodDescriptorType)):
            inspect.signature(value)


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists() and (PACKAGE / "_l3l2q.pyi").exists()


def test_versions_agree() -> None:
    assert l3l2q.__version__ == l3l2q.version
    source = (TREE / "driver" / "main.c").read_text()
    assert f'#define L3L2Q_VERSION "{l3l2q.version}"\n' in source


def headers() -> str:
    path = sysconfig.get_path("include")
    if not Path(path, "Python.h").exists():
        pytest.skip("Python's headers are not installed")
    return path


@pytest.mark.parametrize(
    "compiler, option",
    [("gcc", "-DL3L2Q_FULL_API"), ("gcc", "-DPy_GIL_DISABLED"), ("clang", "-ULIMITED")],
)
def test_the_extension_compiles(compiler: str, option: str) -> None:
    """The full API is that of interpreters before 3.11, and of free-threaded ones."""
    sources = sorted((SOURCE / "src").glob("*.c"))
    run(need(compiler), "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror",
        "-fsyntax-only", option, "-isystem", headers(), f"-I{TREE}/libuser/include",
        f"-I{TREE}/uapi", *sources)  # fmt: skip


def exported(path: Path) -> List[str]:
    return [line.split()[-1] for line in run(need("nm"), "-D", "--defined-only", path).splitlines()]


def test_the_extension_exports_its_init_function_alone() -> None:
    module = sys.modules["l3l2q._l3l2q"]
    assert module.__file__ is not None
    assert exported(Path(module.__file__)) == ["PyInit__l3l2q"]


def installer(directory: Path) -> Path:
    """A virtual environment that sees the system's packages; skips where there cannot be one."""
    headers()
    pytest.importorskip("setuptools")
    pytest.importorskip("pip")
    need("gcc")
    # The system's pip serves the environment too, and a copy of it takes long to make.
    run(sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", directory)
    return directory / "bin" / "python"


def test_a_copy_without_the_tree_says_what_to_do(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    shutil.copy(SOURCE / "setup.py", tmp_path)
    result = subprocess.run(
        [sys.executable, tmp_path / "setup.py", "--version"],
        capture_output=True,
        text=True,
        timeout=LONG,
        env={k: v for k, v in os.environ.items() if k != "L3L2Q_TREE"},
    )
    assert result.returncode == 1 and "set L3L2Q_TREE" in result.stderr


def test_pip_installs_it_offline(tmp_path: Path) -> None:
    """From a source distribution, which has nothing of the tree around it but what it took."""
    python = installer(tmp_path / "v")
    source = tmp_path / "tree" / "libuser" / "python"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "dist"))
    for part in ("libuser/src", "libuser/include", "uapi", "driver"):
        target = tmp_path / "tree" / part
        (shutil.copytree if (TREE / part).is_dir() else shutil.copy)(TREE / part, target)
    environment = {**os.environ, "PYTHONPATH": "", "PIP_NO_INDEX": "1", "CFLAGS": "-O0 -g0"}
    run(python, "setup.py", "-q", "sdist", "-d", tmp_path / "dist", cwd=source, env=environment)
    (archive,) = (tmp_path / "dist").glob("*.tar.gz")
    run(python, "-m", "pip", "install", "-q", "--no-build-isolation", archive, cwd=tmp_path,
        env=environment)  # fmt: skip
    program = (
        "import l3l2q, l3l2q.aio, l3l2q.simpler; print(l3l2q.__file__)\n"
        "with l3l2q.create('memfd', depth=8, input_arena_bytes=64, output_arena_bytes=64) as ep:\n"
        "    with l3l2q.attach(ep.open_peer()) as peer:\n"
        "        ep.producer.enqueue(b'HAL'); print(peer.consumer.dequeue().data)\n"
    )
    output = run(python, "-c", program, cwd=tmp_path, env=environment)
    assert str(tmp_path / "v") in output and "b'HAL'" in output
    installed = Path(output.splitlines()[0]).parent
    assert (installed / "py.typed").exists() and (installed / "_l3l2q.pyi").exists()
    (extension,) = installed.glob("_l3l2q*.so")
    if sys.version_info >= (3, 11) and not sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert extension.name == "_l3l2q.abi3.so"
    assert exported(extension) == ["PyInit__l3l2q"]
