"""The command line as a process: what it says, how it ends, how it stops."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from realtime.cli import main
from tests import checkpoints, signals

TIMEOUT_S = 90
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return checkpoints.write(tmp_path_factory.mktemp("checkpoint") / "small")


def environment() -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("VOXWIRE_")}
    return ours | {"OMP_NUM_THREADS": "1"}


def voxwire(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "realtime.cli", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment(), cwd=ROOT
    )


def refused(*words: object) -> str:
    """The one line of a refusal."""
    result = voxwire(*words)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("voxwire: ")
    return lines[0]


def test_serve_help_is_grouped_and_names_the_defaults():
    words = voxwire("serve", "--help").stdout
    for part in (
        "server: where it listens",
        "limits: what one client may take",
        "--model",
        "(default: 127.0.0.1)",
    ):
        assert part in " ".join(words.split())


def test_a_wrong_setting_is_one_line():
    assert "--port" in refused("serve", "--port", "99999")


def test_a_missing_config_file_is_one_line():
    assert "nowhere.toml" in refused("serve", "--config", "nowhere.toml")


def test_a_missing_checkpoint_is_one_line(tmp_path):
    assert "nothing-here" in refused("serve", "--port", "0", "--model", tmp_path / "nothing-here")


def test_a_foreign_folder_is_one_line(tmp_path):
    assert str(tmp_path) in refused("serve", "--port", "0", "--model", tmp_path)


def test_a_truncated_checkpoint_names_its_file(checkpoint, tmp_path):
    for name in ("params.json", "tekken.json", "consolidated.safetensors"):
        data = (checkpoint / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2] if name.endswith("safetensors") else data)
    assert "consolidated.safetensors" in refused("serve", "--port", "0", "--model", tmp_path)


def test_a_taken_port_is_one_line(checkpoint):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert str(port) in refused("serve", "--port", port, "--model", checkpoint)


def test_serve_says_what_to_open_and_stops_in_order_on_sigterm(checkpoint):
    command = [
        sys.executable,
        "-m",
        "realtime.cli",
        "serve",
        "--port",
        "0",
        "--slots",
        "2",
        "--model",
        str(checkpoint),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), cwd=ROOT
    )
    try:
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            said += line
        assert re.search(r"open +http://127\.0\.0\.1:\d+\n", said)
        assert "make demo URL=" in said and "python -m client mic --url" in said
        assert "small on cpu" in said and "2 streams" in said
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0
    finally:
        process.kill()
        process.communicate()


def recording(path: Path, seconds: float = 2.0, channels: int = 1, rate: int = 16000) -> Path:
    sound = signals.babble(seconds, 1)
    soundfile.write(path, np.stack([sound] * channels, axis=1), rate)
    return path


def test_transcribe_writes_what_a_session_hears(checkpoint, tmp_path):
    first = recording(tmp_path / "a.wav")
    second = recording(tmp_path / "b.flac", channels=2)
    out = tmp_path / "out"
    words = [
        "transcribe",
        first,
        second,
        "--format",
        "json",
        "--output",
        out,
        "--model",
        checkpoint,
        "--slots",
        "2",
    ]
    result = voxwire(*words, "--vad", "off")
    assert result.returncode == 0, result.stderr
    heard = [json.loads((out / name).read_text()) for name in ("a.json", "b.json")]
    assert heard[0]["text"]
    assert heard[0]["text"] == heard[1]["text"]  # two equal channels, mixed down


def test_transcribe_with_more_files_than_slots_keeps_their_order(checkpoint, tmp_path):
    files = [recording(tmp_path / f"{n}.wav", seconds=1 + n / 4) for n in range(3)]
    result = voxwire("transcribe", *files, "--model", checkpoint, "--slots", "1", "--vad", "off")
    assert result.returncode == 0, result.stderr
    assert re.findall(r"^# (.*)$", result.stdout, re.MULTILINE) == [str(path) for path in files]


def test_transcribe_refuses_in_one_line(tmp_path, capsys):
    good = recording(tmp_path / "good.wav")
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"no audio at all")
    refusals = {
        "missing.wav": [tmp_path / "missing.wav"],
        "noise.wav": [noise],
        "not two": [good, "--channels", "2"],
        "2000 Hz": [recording(tmp_path / "slow.wav", rate=2000)],
        "need --output": [good, good, "--format", "srt"],
        "called good": [good, good, "--output", tmp_path],
    }
    for reason, words in refusals.items():
        assert main(["transcribe", *map(str, words)]) == 2
        [line] = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("voxwire: ") and reason in line


def test_collections_look_at_sessions_alone():
    """Libraries are frozen out of them: a full one comes soon and is short, and memory stays."""
    code = (
        "import gc; from realtime import cli; from realtime.server import app; cli._keep_what_is_there();"
        "print(gc.get_freeze_count() > 50_000, len(gc.get_objects()) < 5_000)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (run.stdout.strip(), run.stderr) == ("True True", "")
