"""The page in Chromium against the real server and the bundled model: its captions are the client's captions.

The fake microphone is fed by the bundled recording. Chromium resamples it on its way, so what the page heard is not the
file to the last bit; the page's own audio is therefore recorded as it leaves and given to the client as a file.
"""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from playwright.sync_api import expect, sync_playwright

from tests.web.browser import CHROMIUM, arguments

pytestmark = [pytest.mark.browser, pytest.mark.e2e]

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "realtime" / "assets" / "demo.wav"

TAKES = 3  # on a busy machine Chromium's own fake microphone leaves audio out
RAW_MICROPHONE = "localStorage.setItem('voxwire.settings', JSON.stringify({ processing: 'none' }))"
RECORD = """
    window.recorded = []; // the page never writes into what it has sent
    const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function (data) {
        if (typeof data !== "string") recorded.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
        return send.call(this, data);
    };
    window.recordedBytes = () => recorded.reduce((sum, piece) => sum + piece.length, 0);
"""


@pytest.fixture(scope="module")
def url(server) -> str:
    return f"http://{server.address}"


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=arguments(microphone=DEMO.resolve())
        )
        yield launched
        launched.close()


@pytest.fixture
def page(browser, url):
    context = browser.new_context()
    context.set_default_timeout(60_000)
    opened = context.new_page()
    faults = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    opened.add_init_script(RAW_MICROPHONE + RECORD)
    opened.goto(url)
    yield opened
    context.close()
    assert faults == []


def captions(page) -> list[str]:
    assert set(page.locator("#lines .line").evaluate_all("e => e.map(x => x.dataset.kind)")) == {"final"}
    return page.locator("#lines .text > span:last-child").all_text_contents()


def client(url: str, path: Path) -> list[str]:
    """What the terminal client prints for a file, a line per utterance."""
    command = [sys.executable, "-m", "client", "file", "--fast", "--url", url, str(path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    return run.stdout.split("\n")[:-1]


def duration_s(path: Path) -> float:
    with wave.open(str(path)) as recording:
        return recording.getnframes() / recording.getframerate()


def test_a_recording_gives_the_same_captions_as_the_client(page, url):
    page.set_input_files("#file", DEMO)
    page.click("#recording .primary")
    expect(page.locator("#state")).to_have_text("Not listening", timeout=60_000)
    expect(page.locator("#lines .line").first).to_be_visible()
    assert captions(page) == client(url, DEMO)
    with wave.open(str(DEMO)) as recording:
        assert recorded(page) == recording.readframes(recording.getnframes())


def recorded(page) -> bytes:
    encoded = page.evaluate(
        """async () => {
            const reader = new FileReader();
            const read = new Promise(done => reader.onload = done);
            reader.readAsDataURL(new Blob(recorded));
            await read;
            return reader.result.split(",")[1];
        }"""
    )
    return base64.b64decode(encoded)


def likeness(path: Path, other: Path) -> float:
    """Correlation of two recordings after the best shift: 1 is equal but for loudness."""
    one, two = (soxr.resample(*soundfile.read(p, dtype="float32"), 16000) for p in (path, other))
    size = 1 << (len(one) + len(two)).bit_length()
    product = np.fft.irfft(np.fft.rfft(one, size) * np.conj(np.fft.rfft(two, size)), size)
    return float(product.max() / np.linalg.norm(one) / np.linalg.norm(two))


def microphone_take(page, path: Path) -> list[str]:
    """Has the page listen to the whole recording -> its captions; what it sent is written to `path`."""
    rate = page.evaluate("new AudioContext().sampleRate")
    page.keyboard.press("Space")
    expect(page.locator("#state")).to_have_text("Listening", timeout=60_000)
    expect(page.locator("#lines .line[data-kind=partial]").first).to_be_attached(timeout=60_000)
    enough = round((duration_s(DEMO) + 2) * rate * 2)
    page.wait_for_function("bytes => recordedBytes() >= bytes", arg=enough, timeout=90_000)
    expect(page.locator("#word-latency")).to_have_text(re.compile(r"^\d+(\.\d\d)? s$"))
    page.keyboard.press("Space")
    expect(page.locator("#state")).to_have_text("Not listening", timeout=60_000)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(recorded(page))
    return captions(page)


def test_the_microphone_gives_the_same_captions_as_the_client(page, url, tmp_path):
    heard = tmp_path / "heard.wav"
    for _ in range(TAKES):
        shown = microphone_take(page, heard)
        assert shown == client(url, heard)
        if (alike := likeness(heard, DEMO)) > 0.98:
            break
        page.goto(url)
    assert alike > 0.98, "nothing lost, nothing added, nothing moved on the way"
