"""Watching a process, reading metrics, and load against a real server with an engine that answers at once."""

from __future__ import annotations

import json
import math
import os
import sys
import time

import pytest

from bench import load, speech
from bench.load import Part, Plan
from bench.report import BenchError
from bench.server import Metrics, Server, usage
from client.protocol import Options
from tests import checkpoints

EXPOSITION = """\
# HELP voxwire_tick_seconds Duration of one batched step.
# TYPE voxwire_tick_seconds histogram
voxwire_tick_seconds_bucket{le="0.08"} 9.0
voxwire_tick_seconds_bucket{le="+Inf"} 10.0
voxwire_tick_seconds_count 10.0
voxwire_tick_seconds_sum 0.5
# HELP voxwire_finals_total Finals by reason.
# TYPE voxwire_finals_total counter
voxwire_finals_total{reason="silence"} 3.0
voxwire_finals_total{reason="end"} 2.0
"""


def test_metrics_are_read():
    metrics = Metrics.parse(EXPOSITION)
    assert metrics.histograms["tick_seconds"] == {0.08: 9.0, math.inf: 10.0}
    assert metrics.value("finals_total") == 5
    assert metrics.value("tick_seconds_count") == 10
    assert metrics.value("refusals_total") == 0


def test_a_process_is_watched():
    mine = usage(os.getpid())
    assert mine.cpu_s > 0 and mine.rss_bytes > 2**20 and mine.threads >= 1 and mine.open_files > 2
    with pytest.raises(BenchError):
        usage(2**22 + 1)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tree = checkpoints.tekken()
    tree["vocab"][-1]["token_bytes"] = "IHdvcmQ="  # " word"
    (folder / "tekken.json").write_text(json.dumps(tree))
    command = (sys.executable, "-m", "bench.fake_engine")
    with Server([f"--model={folder}", "--slots=2"], command) as server:
        yield server
    with pytest.raises(BenchError):
        server.usage()


def play(served: Server, *parts: Part, **options):
    now = time.monotonic()
    plan = Plan(served.url, Options(**options), parts, (now, now + 0.5))
    return load.run_loop(load.play_all(plan, speech.demo_clips())).played


@pytest.mark.e2e
def test_streams_say_the_same_paced_and_not(served):
    (fast,) = play(served, Part(seed=1, length_s=2.0))
    (paced,) = play(served, Part(seed=1, length_s=2.0, start_s=time.monotonic() + 0.1))
    assert fast.finals and fast.finals == paced.finals
    assert not (fast.dropped or fast.refused or paced.dropped or paced.stalled)
    assert len(paced.late_s) == 25 and min(paced.late_s) >= 0


@pytest.mark.e2e
def test_a_refusal_is_counted_and_nothing_is_left_over(served):
    played = play(served, *(Part(seed, 1.0, time.monotonic() + 0.1) for seed in range(3)), vad=False)
    assert sorted(bool(p.refused) for p in played) == [False, False, True]
    assert not any(p.dropped for p in played)
    assert served.metrics().value("slots_in_use") == 0


def test_a_server_that_does_not_start_says_why():
    with pytest.raises(BenchError, match="no such folder"), Server(["--model=/no/such/folder"]):
        pass
