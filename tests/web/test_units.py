"""The page's pure modules, tested in the language they are written in."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parent / "unit"
WEB = Path(__file__).parents[2] / "web"


def node() -> str:
    path = shutil.which("node")
    if path is None:
        pytest.skip("node is not installed; the page's unit tests need it (20 or later)")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30).stdout
    if int(re.match(r"v(\d+)", version)[1]) < 20:
        pytest.skip(f"node {version.strip()} is too old; the page's unit tests need 20 or later")
    return path


def test_units_of_the_page():
    files = sorted(str(path) for path in UNIT.glob("*.test.mjs"))
    run = subprocess.run([node(), "--test", *files], capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"^# pass [1-9]", run.stdout, re.M)


@pytest.mark.parametrize("path", sorted(WEB.glob("*.js")), ids=lambda path: path.name)
def test_every_module_is_small_and_imports_only_its_neighbours(path):
    source = path.read_text()
    assert source.count("\n") <= 240
    for imported in re.findall(r"""(?:from|import)\s*\(?["']([^"']+)["']""", source):
        assert re.fullmatch(r"\./[a-z-]+\.js", imported)
        assert (WEB / imported).is_file()


def test_nothing_comes_from_elsewhere_and_nothing_is_inline():
    html = (WEB / "index.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", html)
    assert not re.findall(r"""(?:src|href|action)=["']/""", html), "an absolute path breaks under a sub-path"
    assert not re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", html)
    assert not re.findall(r"url\(|@import", (WEB / "style.css").read_text())
