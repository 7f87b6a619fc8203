"""The commands as a user types them: what is printed, what is written, and the exit codes."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from client.__main__ import main

from .conftest import DONE, READY, Refusal

ROOT = Path(__file__).parents[2]
FINAL = {
    "type": "final",
    "utterance": 0,
    "text": "hello there",
    "words": [
        {"text": "hello", "start_ms": 100, "end_ms": 400, "confidence": 0.9},
        {"text": "there", "start_ms": 400, "end_ms": 1200, "confidence": 0.8},
    ],
    "start_ms": 100,
    "end_ms": 1200,
    "channel": 0,
    "reason": "end",
}


@pytest.fixture
def serving(scripted):
    """`with serving(script) as server`: the scripted server in a thread, because `main` has a loop of its own."""

    @contextmanager
    def run(*scripts):
        started, handles = threading.Event(), {}

        async def serve():
            async with scripted(*scripts) as server:
                handles.update(server=server, stop=asyncio.Event(), loop=asyncio.get_running_loop())
                started.set()
                await handles["stop"].wait()

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        assert started.wait(10)
        try:
            yield handles["server"]
        finally:
            handles["loop"].call_soon_threadsafe(handles["stop"].set)
            thread.join(10)

    return run


async def captions(seen):
    await seen.say(READY)
    await seen.hear_end()
    await seen.say(FINAL, DONE)


def test_a_file_becomes_text_and_files(serving, recording, tmp_path, capsys):
    path = recording(seconds=0.5)
    srt = tmp_path / "out.srt"
    with serving(captions) as server:
        code = main(
            ["file", str(path), "--fast", "--url", server.url, "--output", str(srt), "--write", "txt,json"]
        )
    out, err = capsys.readouterr()
    assert code == 0
    assert out == "hello there\n"
    assert "talk.wav, 0:00, 16 kHz mono → scripted, delay 480 ms" in err
    assert f"Wrote {srt}" in err.replace("\n", "")
    assert srt.read_text() == "1\n00:00:00,100 --> 00:00:01,200\nhello there\n"
    assert path.with_suffix(".txt").read_text() == "hello there\n"
    document = json.loads(path.with_suffix(".json").read_text())
    assert (document["model"], document["audio_ms"]) == ("scripted", 1000)
    assert len(server.seen[0].audio) == 16000


def test_options_reach_the_server(serving, recording):
    arguments = ["--delay-ms", "240", "--vad", "off", "--hangover-ms", "300", "--no-interim", "--key", "k"]
    with serving(captions) as server:
        main(
            ["file", str(recording(channels=2)), "--fast", "--channels", "2", "--url", server.url, *arguments]
        )
    seen = server.seen[0]
    assert seen.authorization == "Bearer k"
    assert {name: seen.query[name] for name in ("delay_ms", "vad", "hangover_ms", "interim", "channels")} == {
        "delay_ms": "240",
        "vad": "off",
        "hangover_ms": "300",
        "interim": "false",
        "channels": "2",
    }


def test_url_and_key_from_the_environment(serving, recording, monkeypatch):
    with serving(captions) as server:
        monkeypatch.setenv("VOXWIRE_URL", server.url.replace("ws://", "http://").removesuffix("/v1/stream"))
        monkeypatch.setenv("VOXWIRE_KEY", "from-env")
        assert main(["file", str(recording()), "--fast"]) == 0
    assert server.seen[0].authorization == "Bearer from-env"


def test_several_files_go_one_after_the_other(serving, recording, capsys):
    with serving(captions, captions) as server:
        paths = [str(recording("a.wav")), str(recording("b.wav"))]
        assert main(["file", *paths, "--fast", "--url", server.url, "--write", "txt"]) == 0
    assert capsys.readouterr().out == "hello there\nhello there\n"


def free_url():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"ws://127.0.0.1:{free.getsockname()[1]}"


def test_exit_code_without_a_server(recording, capsys):
    assert main(["file", str(recording()), "--url", free_url()]) == 3
    assert "No server at ws://127.0.0.1:" in capsys.readouterr().err


def test_exit_code_without_a_key(serving, recording, capsys):
    with serving(Refusal(401)) as server:
        assert main(["file", str(recording()), "--url", server.url]) == 4
    assert "VOXWIRE_KEY" in capsys.readouterr().err


def test_exit_code_of_a_busy_server(serving, recording, capsys):
    with serving(Refusal(503, headers={"Retry-After": "9999"})) as server:
        assert main(["file", str(recording()), "--url", server.url]) == 5
    assert "The server is busy (503)" in capsys.readouterr().err


def test_what_was_heard_before_the_end_is_written(serving, recording, capsys):
    async def breaks(seen):
        await seen.say(READY, FINAL)
        await seen.say({"type": "error", "code": "limit_reached", "message": "Too long.", "fatal": True})
        await seen.socket.close(1008)

    path = recording()
    with serving(breaks) as server:
        assert main(["file", str(path), "--fast", "--url", server.url, "--write", "txt"]) == 1
    out, err = capsys.readouterr()
    assert out == "hello there\n"
    assert "voxwire-client: The server ended the stream: Too long." in err
    assert path.with_suffix(".txt").read_text() == "hello there\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a single process")
def test_ctrl_c_waits_for_the_last_words_and_writes_them(serving, recording):
    listening = threading.Event()

    async def captions_after_the_signal(seen):
        await seen.say(READY)
        await seen.hear(1)
        listening.set()
        await seen.hear_end()
        await seen.say(FINAL, DONE)

    path = recording(seconds=60)
    with serving(captions_after_the_signal) as server, client_process(path, server.url) as process:
        assert listening.wait(30)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == "hello there\n"
    assert "waiting for the last words" in err
    assert "hello there" in path.with_suffix(".srt").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a single process")
def test_a_second_ctrl_c_ends_at_once_and_still_writes(serving, recording):
    ending = threading.Event()

    async def never_done(seen):
        await seen.say(READY, FINAL)
        await seen.hear(1)
        process_box[0].send_signal(signal.SIGINT)
        await seen.hear_end()
        ending.set()
        await seen.socket.wait_closed()

    path, process_box = recording(seconds=60), []
    with serving(never_done) as server, client_process(path, server.url) as process:
        process_box.append(process)
        assert ending.wait(30)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "hello there" in path.with_suffix(".srt").read_text()


@contextmanager
def client_process(path, url):
    command = [sys.executable, "-m", "client", "file", str(path), "--url", url, "--write", "srt"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def usage(arguments, capsys):
    """Exit code and standard error, however the command gave up."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr().err


def test_bad_usage_is_told_before_anything_is_sent(recording, tmp_path, capsys):
    good, missing = str(recording()), str(tmp_path / "missing.wav")
    (tmp_path / "bad.mp3").write_bytes(b"x" * 100)
    for arguments, complaint in [
        (["file", missing], "no such file"),
        (["file", good, missing], "no such file"),
        (["file", str(tmp_path / "bad.mp3")], "is not audio that can be read"),
        (["file", good, "--output", "talk.doc"], "must be one of"),
        (["file", good, "--output", str(tmp_path / "no" / "t.srt")], "there is no folder"),
        (["file", good, good, "--output", "t.srt"], "use --write"),
        (["file", good, str(recording("talk.flac")), "--write", "srt"], "talk.srt would be written twice"),
        (["file", good, "--write", "pdf"], "'pdf' is not one of txt, srt, vtt, json"),
        (["file", good, "--delay-ms", "100"], "80..1200 in steps of 80, or 2400"),
        (["file", good, "--url", "nowhere"], "not a server address"),
        (["file", good, "--channels", "2"], "needs a recording with two"),
        (["file"], "required: PATH"),
        ([], "required"),
    ]:
        code, err = usage(arguments, capsys)
        assert code == 2, arguments
        assert complaint in err, arguments


def test_no_microphone(monkeypatch, capsys):
    from client import microphone

    from .test_microphone import FakeSoundDevice

    monkeypatch.setattr(microphone, "portaudio", lambda: FakeSoundDevice([], default=-1))
    for verb in ("devices", "mic"):
        assert main([verb]) == 2
        assert "No microphone was found" in capsys.readouterr().err


def test_devices_are_listed_with_the_default_marked(monkeypatch, capsys):
    from client import microphone

    from .test_microphone import FakeSoundDevice, info

    found = [info("Speakers", inputs=0), info("Built-in"), info("USB Mic", 2, 44100.0)]
    monkeypatch.setattr(microphone, "portaudio", lambda: FakeSoundDevice(found, default=2))
    assert main(["devices"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "    1  Built-in  (ALSA, 1 channel, 48000 Hz)",
        "*   2  USB Mic  (ALSA, 2 channels, 44100 Hz)",
    ]
