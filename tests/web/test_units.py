"""The page's pure modules, tested in the language they are written in."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from realtime.events import Final, Word
from realtime.text import subtitles

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


def test_subtitles_are_the_server_s_to_the_letter():
    """What the page offers for download is what the same finals give everywhere else."""
    texts = [
        "hello there.",
        "a much longer sentence, which needs more than a single line of a subtitle; and then. It goes on & on",
        "one two three four five six seven eight nine ten " * 4,
        "w h o --> s a i d <this>",
    ]
    finals, at = [], 700
    for number, text in enumerate(texts):
        words = []
        for i, word in enumerate(text.split()):
            words.append(Word(word, at, at + 90 + 7 * len(word), 0.9))
            at += 900 if i == 3 else 260
        finals.append(
            Final(number, text.strip(), tuple(words), words[0].start_ms, words[-1].end_ms, "silence")
        )
        at += 2000
    lines = [
        {
            "kind": "final",
            "text": final.text,
            "startMs": final.start_ms,
            "endMs": final.end_ms,
            "channel": 0,
            "label": "",
            "words": [{"text": w.text, "startMs": w.start_ms, "endMs": w.end_ms} for w in final.words],
        }
        for final in finals
    ]
    script = (
        f"import {{ FORMATS }} from {json.dumps((WEB / 'export.js').as_uri())};"
        f"const content = {{ lines: {json.dumps(lines)} }};"
        "console.log(JSON.stringify(['txt', 'srt', 'vtt'].map(name => FORMATS[name].render(content))))"
    )
    run = subprocess.run(
        [node(), "--input-type=module", "-e", script], capture_output=True, text=True, timeout=30
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == [subtitles.render(finals, name) for name in ("txt", "srt", "vtt")]
