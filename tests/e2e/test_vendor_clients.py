"""Acceptance clients on the vendors' own SDKs, unchanged, against the real server: only the address is ours.

The clients are not part of the repository: VOXWIRE_CLIENTS, or `../shared/clients` beside the checkout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import jiwer
import pytest

from tests.e2e.conftest import DEMO, ROOT, SCRIPT, environment, running_server

CLIENTS = Path(os.environ.get("VOXWIRE_CLIENTS") or ROOT.parent / "shared" / "clients")
AT_ONCE = 5  # each holds a slot
TIMEOUT_S = 200
WORST_WER = 0.1  # as in test_stream.py; telephone formats are resampled
KEYS = ("sk-test", "dg-test")  # the clients' own defaults, in each vendor's header
QUICK = ("--speed", "4", "--quiet", "--timeout", "90")  # the machine may be busy

OPENAI = ("openai_realtime_client.py", "--base-url", "http://{}/v1")
VLLM = ("vllm_realtime_client.py", "--url", "ws://{}/v1/realtime", "--api-key", KEYS[0])
MISTRAL = ("mistral_realtime_client.py", "--server-url", "http://{}")
DEEPGRAM = ("deepgram_live_client.py", "--ws-url", "ws://{}")
STREAMS = {
    "openai server_vad": (*OPENAI, *QUICK, "--turn", "server_vad"),
    "openai semantic_vad": (*OPENAI, *QUICK, "--turn", "semantic_vad", "--connect", "model"),
    "openai manual, logprobs": (*OPENAI, *QUICK, "--turn", "none", "--logprobs"),
    "openai pcmu": (*OPENAI, *QUICK, "--format", "pcmu"),
    "openai pcma, manual": (*OPENAI, *QUICK, "--format", "pcma", "--turn", "none"),
    "openai beta": (*OPENAI, *QUICK, "--api", "beta", "--websocket-base-url", "ws://{}/v1"),
    "vllm start-first": (*VLLM, *QUICK, "--order", "start-first"),
    "vllm no-update": (*VLLM, *QUICK, "--order", "no-update"),
    "vllm append-first": (*VLLM, *QUICK, "--order", "append-first"),
    "mistral stream": (*MISTRAL, *QUICK),
    "mistral segments, turns": (*MISTRAL, *QUICK, "--mode", "segments", "--segment-s", "60", "--turns"),
    "mistral mu-law": (*MISTRAL, *QUICK, "--encoding", "pcm_mulaw", "--rate", "8000"),
    "deepgram": (*DEEPGRAM, *QUICK),
    "deepgram sync, bearer": (*DEEPGRAM, *QUICK, "--sync", "--token", KEYS[0]),
    "deepgram idle with KeepAlive": (*DEEPGRAM, *QUICK, "--idle-s", "12"),
    "deepgram mulaw": (*DEEPGRAM, *QUICK, "--encoding", "mulaw", "--rate", "8000"),
    "deepgram flux": (*DEEPGRAM, *QUICK, "--api", "v2"),
}
# What the server does not do: chat, telling speakers apart, translation.
NOT_OFFERED = "chat_input_audio,chat_audio_url_stream,diarized_json,sse_diarized,translations"
FILES = {
    "openai files": (
        *("openai_http_client.py", "--base-url", "http://{}/v1"),
        *("--model", "voxwire-tiny", "--skip", NOT_OFFERED),
    ),
    "mistral files": ("mistral_http_client.py", "--server-url", "http://{}"),
}

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not CLIENTS.is_dir(), reason=f"no acceptance clients in {CLIENTS.name}: set VOXWIRE_CLIENTS"
    ),
]


def run(address: str, command: tuple[str, ...]) -> subprocess.CompletedProcess:
    script, *flags = (part.format(address) for part in command)
    return subprocess.run(
        [sys.executable, CLIENTS / script, *flags, "--wav", DEMO],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=environment() | {"PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Iterator[dict[str, Future]]:
    """All clients, several at a time: they wait for their own clock most of the time."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("\n".join(KEYS))
    with running_server(["--api-keys-file", str(keys)]) as server, ThreadPoolExecutor(AT_ONCE) as pool:
        commands = {**STREAMS, **FILES}
        yield {name: pool.submit(run, server.address, command) for name, command in commands.items()}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream(name, runs):
    done = runs[name].result()
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout.rsplit("SUMMARY ", 1)[1])
    said = " ".join(utterance["text"] for utterance in json.loads(SCRIPT.read_text())["utterances"])
    assert jiwer.wer(said, summary["final_text"]) <= WORST_WER, summary["final_text"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", FILES)
def test_files(name, runs):
    done = runs[name].result()
    assert done.returncode == 0, done.stdout + done.stderr
