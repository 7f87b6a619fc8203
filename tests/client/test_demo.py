import io
import os
import signal
import sys
import urllib.error
import urllib.request

import pytest
from rich.console import Console

from client import demo

SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, *arguments):
        pass

server = HTTPServer(("127.0.0.1", 0), Handler)
print("loading the model", flush=True)
print(f"ready: http://127.0.0.1:{server.server_port} arguments: {sys.argv[1:]}", flush=True)
server.serve_forever()
"""


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Makes the given program the `voxwire` command of the demo."""

    def install(program):
        path = tmp_path / "voxwire.py"
        path.write_text(program)
        monkeypatch.setattr(demo, "_command", lambda: [sys.executable, str(path)])

    return install


def test_the_own_server_is_used_once_it_is_ready_and_ended_afterwards(command):
    command(SERVER)
    with demo._own_server(Console(file=io.StringIO())) as address:
        assert urllib.request.urlopen(f"{address}/readyz", timeout=5).status == 200
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{address}/readyz", timeout=5)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signal here")
def test_the_own_server_does_not_survive_a_closed_terminal(command):
    command(SERVER)
    before = signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGTERM)
    try:
        demo._end_in_order_on_signals()
        with pytest.raises(KeyboardInterrupt), demo._own_server(Console(file=io.StringIO())) as address:
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before[0])
        signal.signal(signal.SIGTERM, before[1])
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{address}/readyz", timeout=5)


def test_a_server_that_does_not_start_shows_why(command):
    command("print('no such model: tiny'); raise SystemExit(3)")
    with (
        pytest.raises(demo.NoServer, match=r"(?s)status 3.*no such model: tiny"),
        demo._own_server(Console(file=io.StringIO())),
    ):
        pass


def compared(said, heard):
    console = Console(file=io.StringIO(), width=80)
    console.print(demo.compare([utterance.split() for utterance in said], heard.split()))
    return [line.strip() for line in console.file.getvalue().splitlines()]


def test_said_against_heard_utterance_by_utterance():
    assert compared(["my number is six one", "thank you", "bye"], "my number six nine one thank you all") == [
        "said  my number is six one",
        "heard  my number six nine one",
        "",
        "said  thank you",
        "heard  thank you",
        "",
        "said  bye",
        "heard  all",
        "",
        "6 of 8 words are right, 2 heard otherwise or added.",
    ]


def test_all_right():
    assert compared(["yes"], "yes")[-1] == "1 of 1 words are right."


def test_nothing_heard():
    assert compared(["yes"], "")[-1] == "0 of 1 words are right."


def test_how_it_is_written_does_not_count():
    assert demo._words("Hello, how can I help? It's 5.") == ["hello", "how", "can", "i", "help", "it's", "5"]


def test_the_bundled_conversation_is_there_with_its_script():
    assert demo.RECORDING.exists()
    assert sum(map(len, demo._said())) > 20


def test_a_missing_recording_is_told_before_a_server_is_started(monkeypatch, capsys):
    monkeypatch.setattr(demo, "_server", lambda *_: pytest.fail("started a server"))
    assert demo.main(["--file", "missing.wav"]) == 2
    assert "missing.wav: no such file" in capsys.readouterr().err
