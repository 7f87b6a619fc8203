"""Who may import what: the table of ARCHITECTURE.md, kept true."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GROUND = ("realtime.errors", "realtime.events", "realtime.config", "realtime.timeline", "realtime.figures")
# The session, and one channel of it.
SESSION = ("realtime.session", "realtime.channel")
TEXT_INFO = ("realtime.text.tokenizer", "realtime.text.confidence")
EVERYTHING = ("*",)


@dataclass(frozen=True)
class Layer:
    """Modules at or below `names` may import from the project `ours`, from others `libraries`, never `never`.

    A name stands for itself and what is below it. The standard library is allowed except for `never`.
    """

    names: tuple[str, ...]
    ours: tuple[str, ...]
    libraries: tuple[str, ...]
    never: tuple[str, ...] = ("asyncio",)


LAYERS = (
    Layer(GROUND, ours=GROUND, libraries=("numpy",)),
    Layer(("realtime.audio.vad",), ours=GROUND, libraries=("numpy", "webrtcvad")),
    Layer(("realtime.audio.containers",), ours=(*GROUND, "realtime.audio"), libraries=("numpy", "av")),
    Layer(("realtime.audio",), ours=(*GROUND, "realtime.audio"), libraries=("numpy", "soxr")),
    Layer(("realtime.text",), ours=(*GROUND, "realtime.text"), libraries=()),
    # The hub is where weights come from; nothing else of the model knows of a network.
    Layer(("realtime.model.hub",), ours=("realtime.errors",), libraries=("huggingface_hub",)),
    Layer(
        ("realtime.model",),
        ours=("realtime.errors", "realtime.figures", "realtime.model"),
        libraries=("torch", "safetensors", "numpy"),
    ),
    Layer(
        ("realtime.dialects",),
        ours=(*GROUND, "realtime.text.subtitles", "realtime.dialects"),
        libraries=("msgspec",),
    ),
    Layer(
        SESSION,
        ours=(*GROUND, "realtime.audio", "realtime.text", *SESSION),
        libraries=("numpy",),
        never=("asyncio", "threading", "time", "datetime", "sched", "queue", "concurrent"),
    ),
    # The engine reads the names of the control tokens, a table of the checkpoint, from the tokenizer; and with the
    # weights it loads what their scores are worth.
    Layer(
        ("realtime.engine", "realtime.generate"),
        ours=(*GROUND, *TEXT_INFO, "realtime.model", "realtime.engine", "realtime.generate"),
        libraries=("torch", "numpy"),
    ),
    Layer(
        ("realtime.server",),
        ours=(
            *GROUND,
            "realtime.audio",
            "realtime.text",
            "realtime.dialects",
            *SESSION,
            "realtime.engine",
            "realtime.generate",
            "realtime.server",
        ),
        libraries=("aiohttp", "prometheus_client", "uvloop", "numpy", "av"),
        never=("torch",),
    ),
    Layer(("realtime.cli",), ours=EVERYTHING, libraries=EVERYTHING, never=()),
    # The client proves the protocol from outside, and installs without the service.
    Layer(
        ("client",),
        ours=("client",),
        libraries=("websockets", "sounddevice", "soundfile", "numpy", "rich"),
        never=(),
    ),
)


def modules() -> dict[str, Path]:
    """Every module of the service and of the client: dotted name → file."""
    files = [*ROOT.glob("realtime/**/*.py"), *ROOT.glob("client/**/*.py")]
    return {dotted(file): file for file in sorted(files)}


def dotted(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, name: str, is_package: bool) -> set[str]:
    """Every module that `source` of module `name` imports, wherever the statement stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, name, is_package)
            # `from realtime import session` imports a module; `from realtime.events import Step` a name of one.
            found.update(_member(base, alias.name) for alias in node.names)
    return found


def _base(node: ast.ImportFrom, name: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = name.split(".") if is_package else name.split(".")[:-1]
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, node.module] if node.module else parts)


def _member(base: str, member: str) -> str:
    path = ROOT.joinpath(*base.split("."), member)
    return f"{base}.{member}" if path.is_dir() or path.with_suffix(".py").is_file() else base


def covers(names: tuple[str, ...], module: str) -> bool:
    return names == EVERYTHING or any(module == name or module.startswith(name + ".") for name in names)


def layer_of(module: str) -> Layer | None:
    return next((layer for layer in LAYERS if covers(layer.names, module)), None)


def faults(module: str, source: str, is_package: bool = False) -> list[str]:
    """What module `module` imports against the table."""
    layer = layer_of(module)
    if layer is None:
        return [f"{module} is in no layer"]
    wrong = []
    for imported in sorted(imports(source, module, is_package)):
        if covers(layer.never, imported) or not _allowed(layer, imported):
            wrong.append(f"{module} imports {imported}")
    return wrong


def _allowed(layer: Layer, imported: str) -> bool:
    top = imported.split(".")[0]
    if top in ("realtime", "client"):
        return covers(layer.ours, imported)
    return top in sys.stdlib_module_names or covers(layer.libraries, imported)


# `realtime/__init__.py` and the data folders belong to no layer: they must be empty of imports.
ROOTS = ("realtime",)


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_only_what_its_layer_may(module):
    file = modules()[module]
    source = file.read_text()
    if module in ROOTS:
        assert not imports(source, module, is_package=True)
    else:
        assert faults(module, source, file.name == "__init__.py") == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("realtime.audio.gate", "import webrtcvad"),
        ("realtime.audio.gate", "import torch"),
        ("realtime.audio.gate", "import av"),
        ("realtime.server.app", "import soundfile"),
        ("realtime.audio.gate", "from asyncio import Queue"),
        ("realtime.audio.gate", "from realtime import session"),
        ("realtime.audio.gate", "from ..text import words"),
        ("realtime.audio.gate", "def late():\n    import realtime.engine.engine"),
        ("realtime.text.words", "import numpy as np"),
        ("realtime.model.mel", "from realtime.events import Step"),
        ("realtime.dialects.native", "import aiohttp"),
        ("realtime.dialects.native", "from realtime.text.words import WordDecoder"),
        ("realtime.session", "import time"),
        ("realtime.session", "import concurrent.futures"),
        ("realtime.engine.engine", "from realtime.server import app"),
        ("realtime.server.app", "import torch"),
        ("realtime.server.app", "from realtime.model import voxtral"),
        ("realtime.errors", "from realtime.audio import gate"),
        ("client.files", "from realtime.events import Word"),
        ("client.files", "import torch"),
        ("realtime.novelty", "import json"),
    ],
)
def test_the_test_sees_what_is_forbidden(module, source):
    assert len(faults(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("realtime.audio.vad", "import webrtcvad"),
        ("realtime.audio.gate", "from .vad import Vad\nfrom . import held\nfrom ..events import GateOptions"),
        ("realtime.dialects.native", "from realtime.text.subtitles import srt\nimport msgspec, json"),
        ("realtime.cli", "import torch, asyncio\nfrom realtime.server import app"),
    ],
)
def test_the_test_sees_what_is_allowed(module, source):
    assert faults(module, source) == []


def _light_modules() -> list[str]:
    light = (*SESSION, "realtime.dialects", "realtime.audio", "realtime.text", *GROUND)
    return [name for name in modules() if covers(light, name)]


HEAVY = ("torch", "transformers", "aiohttp", "asyncio", "huggingface_hub")
# Loading what they all may import once makes every fork cheap.
IMPORT_EACH = f"""
import os, sys, traceback
import av, msgspec, numpy, soxr, webrtcvad
def heavy():
    return [name for name in {HEAVY!r} if name in sys.modules]
assert not heavy(), heavy()
for module in sys.argv[1:]:
    if os.fork() == 0:
        try:
            __import__(module)
            print(module, *heavy(), flush=True)
        except BaseException:
            traceback.print_exc()
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    """Of every light module: what of HEAVY an interpreter has that imported nothing of ours but it."""
    run = subprocess.run(
        [sys.executable, "-c", IMPORT_EACH, *_light_modules()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (run.returncode, run.stderr) == (0, "")
    return {line.split()[0]: line.split()[1:] for line in run.stdout.splitlines()}


@pytest.mark.parametrize("module", _light_modules())
def test_stays_light(module, loaded):
    """Importing it loads neither torch nor a network library nor an event loop."""
    assert loaded[module] == []
