"""Downloading by hub name, through the real client library against a hub on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from realtime.errors import CheckpointError
from realtime.model import hub
from tests import checkpoints

NAME = "acme/tiny-realtime"
COMMIT = "1" * 40


@pytest.fixture
def fake_hub(tmp_path):
    """Serves one repository: the small random checkpoint with all that it may bring, and a file that nobody needs."""
    folder = checkpoints.write(tmp_path / "served")
    (folder / "model.safetensors").write_bytes(b"not wanted")
    (folder / "confidence.json").write_text('{"scale": 1, "offset": 0}')
    (folder / "blank_penalty.json").write_text('{"after": 12, "slope": 1, "limit": 4}')

    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, body):
            asked.append(self.path)
            if self.path.split("?")[0] == f"/api/models/{NAME}/tree/{COMMIT}":
                files = [
                    {"type": "file", "path": p.name, "oid": "0", "size": p.stat().st_size}
                    for p in folder.iterdir()
                ]
                data = json.dumps(files).encode()
            elif self.path.split("?")[0].startswith(f"/api/models/{NAME}"):
                siblings = [{"rfilename": path.name} for path in folder.iterdir()]
                data = json.dumps({"id": NAME, "modelId": NAME, "sha": COMMIT, "siblings": siblings}).encode()
            elif self.path.startswith(f"/{NAME}/resolve/"):
                data = (folder / self.path.rsplit("/", 1)[1]).read_bytes()
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()


def locate_in_subprocess(endpoint: str, name: str, cache: Path) -> subprocess.CompletedProcess:
    """The library reads its endpoint once, at import."""
    code = (
        "import sys\nfrom realtime.errors import CheckpointError\nfrom realtime.model import hub\n"
        "try: print(hub.locate(sys.argv[1], lambda line: print(line, file=sys.stderr)))\n"
        "except CheckpointError as error: sys.exit(error.message)"
    )
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1"}
    env.pop("HF_HUB_OFFLINE", None)
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(
        [sys.executable, "-c", code, name], env=env, cwd=root, capture_output=True, text=True, timeout=100
    )


def test_downloads_the_native_layout_and_reads_it_again_offline(fake_hub, tmp_path):
    endpoint, asked = fake_hub
    first = locate_in_subprocess(endpoint, NAME, tmp_path / "cache")
    assert first.returncode == 0, first.stderr
    folder = Path(first.stdout.strip())
    assert {path.name for path in folder.iterdir()} == {
        "params.json",
        "consolidated.safetensors",
        "tekken.json",
        "confidence.json",
        "blank_penalty.json",
    }
    assert "Fetching" in first.stderr
    assert not any("model.safetensors" in path for path in asked)
    offline = locate_in_subprocess("http://127.0.0.1:9", NAME, tmp_path / "cache")
    assert offline.returncode == 0, offline.stderr
    assert offline.stdout.strip() == str(folder)


def test_unknown_name_is_one_clear_line(fake_hub, tmp_path):
    result = locate_in_subprocess(fake_hub[0], "acme/nothing", tmp_path / "cache")
    assert result.returncode == 1
    assert "acme/nothing" in result.stderr and "Traceback" not in result.stderr


def test_what_is_neither_folder_nor_name(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        hub.locate("./nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match="expected the folder"):
        hub.locate(tmp_path / "file")


def test_display_names(tmp_path):
    assert hub.display_name(hub.BUNDLED, hub.BUNDLED) == "voxwire-tiny"
    assert hub.display_name(NAME, tmp_path) == NAME
    assert hub.display_name(tmp_path, tmp_path) == tmp_path.name
