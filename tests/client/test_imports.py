"""The client proves the protocol from outside: it must not lean on the service, and must run without torch."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CLIENT = Path(__file__).parents[2] / "client"
MODULES = sorted(CLIENT.glob("*.py"))
ALLOWED = {"client", "websockets", "sounddevice", "numpy", "soundfile", "rich"}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_only_the_declared_packages_are_imported(path):
    assert set(imported(path)) - set(sys.stdlib_module_names) <= ALLOWED


def test_alone_it_wants_the_same_versions_as_in_the_whole():
    alone = tomllib.loads((CLIENT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    whole = tomllib.loads((CLIENT.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(alone["dependencies"]) <= set(whole["dependencies"])
    assert {re.match(r"\w+", name).group() for name in alone["dependencies"]} == ALLOWED - {"client"}
    assert alone["version"] == whole["version"]


def test_nothing_of_the_service_gets_loaded():
    code = (
        "import sys, client.__main__, client.demo\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'realtime', 'aiohttp', 'sounddevice'}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        cwd=CLIENT.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert loaded.stdout.strip() == "[]"
