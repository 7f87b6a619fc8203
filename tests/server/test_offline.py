"""Files through session and engine, without a server."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from realtime.errors import BadAudio, EngineFailed, VoxwireError
from realtime.events import GateOptions, SessionOptions
from realtime.server.offline import AudioFile, transcribe
from realtime.session import SessionLimits
from tests.conversations.stage import silence, voice
from tests.server.fakes import FakeEngine

EVERYTHING = SessionOptions(gate=GateOptions(enabled=False))


def recording(path, seconds: float, channels: int = 1, rate: int = 16000):
    soundfile.write(path, np.zeros((int(seconds * rate), channels), np.float32), rate)
    return AudioFile(path, 1)


def heard(engine: FakeEngine, files, options: SessionOptions = EVERYTHING) -> list[str]:
    return [" ".join(final.text for final in done.finals) for done in transcribe(engine, files, options)]


def test_files_come_back_in_order_however_few_the_slots(tmp_path):
    lengths = [9.0, 1.0, 5.0, 2.0]
    texts = []
    for slots in (1, 3):
        files = [recording(tmp_path / f"{n}.wav", seconds) for n, seconds in enumerate(lengths)]
        engine = FakeEngine(slots)
        texts.append(heard(engine, files))
        assert engine.slots_in_use == 0
    assert texts[0] == texts[1]
    sizes = [len(text) for text in texts[0]]
    assert sorted(range(4), key=sizes.__getitem__) == sorted(range(4), key=lengths.__getitem__)


def test_a_long_file_does_not_keep_slots_from_those_behind_it(tmp_path):
    engine = FakeEngine(2)
    files = [recording(tmp_path / f"{n}.wav", seconds) for n, seconds in enumerate([90, 1, 1, 1, 1, 1])]
    told = transcribe(engine, files, EVERYTHING)
    assert next(told).path == files[0].path
    assert next(engine._leases) == 7  # all six have begun
    assert [done.path for done in told] == [file.path for file in files[1:]]


def test_a_file_is_fed_no_faster_than_the_engine_hears(tmp_path):
    engine = FakeEngine(1)
    heard(engine, [recording(tmp_path / "long.wav", 120)])
    assert engine.most_waiting <= 64 + 13 + 20  # the bound, a block of one second, the silence behind the end


def test_other_rates_and_more_channels_are_mixed_and_resampled(tmp_path):
    plain = heard(FakeEngine(1), [recording(tmp_path / "a.wav", 4)])
    stereo = heard(FakeEngine(1), [recording(tmp_path / "b.wav", 4, channels=3, rate=44100)])
    assert plain == stereo


def test_two_channels_are_transcribed_apart(tmp_path):
    soundfile.write(tmp_path / "two.wav", np.zeros((64000, 2), np.float32), 16000)
    options = SessionOptions(channels=2, gate=GateOptions(enabled=False))
    [done] = transcribe(FakeEngine(2), [AudioFile(tmp_path / "two.wav", 2)], options)
    assert {final.channel for final in done.finals} == {0, 1}


def test_two_channels_need_two_slots(tmp_path):
    soundfile.write(tmp_path / "two.wav", np.zeros((64000, 2), np.float32), 16000)
    options = SessionOptions(channels=2, gate=GateOptions(enabled=False))
    with pytest.raises(VoxwireError, match="too few"):
        list(transcribe(FakeEngine(1), [AudioFile(tmp_path / "two.wav", 2)], options))


def test_a_dead_engine_is_an_error_and_no_wait(tmp_path):
    engine = FakeEngine(1)
    engine.fail()
    with pytest.raises(EngineFailed):
        heard(engine, [recording(tmp_path / "a.wav", 5)])


def test_an_empty_file_has_an_empty_transcript(tmp_path):
    assert heard(FakeEngine(1), [recording(tmp_path / "a.wav", 0)]) == [""]


@pytest.mark.parametrize(("release_after_ms", "leases"), [(0, 1), (3000, 2)])
def test_a_long_silence_is_followed_by_a_fresh_lease_as_in_a_stream(tmp_path, release_after_ms, leases):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.concatenate([voice(1000), silence(5000), voice(1000)]), 16000)
    engine = FakeEngine(1)
    limits = SessionLimits(release_after_ms=release_after_ms)
    assert len(list(transcribe(engine, [AudioFile(path, 1)], SessionOptions(), limits))) == 1
    assert engine.open(6).lease == leases + 1


def test_silence_behind_a_gate_costs_the_engine_nothing(tmp_path):
    engine = FakeEngine(1)
    assert heard(engine, [recording(tmp_path / "a.wav", 20)], SessionOptions()) == [""]
    assert engine.most_waiting == 0


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("missing.wav", None, "no such file"),
        ("noise.wav", b"no audio", "noise.wav"),
        ("empty.wav", b"", "empty.wav"),
    ],
)
def test_what_is_no_audio_is_named(tmp_path, name, data, reason):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(BadAudio, match=reason):
        AudioFile(tmp_path / name, 1)


def test_a_rate_that_no_speech_has_is_named(tmp_path):
    soundfile.write(tmp_path / "slow.wav", np.zeros(4000, np.float32), 2000)
    with pytest.raises(BadAudio, match=r"slow.wav: 2000 Hz"):
        AudioFile(tmp_path / "slow.wav", 1)


def test_a_rate_above_the_protocols_is_brought_down(tmp_path):
    plain = heard(FakeEngine(1), [recording(tmp_path / "a.wav", 4)])
    assert heard(FakeEngine(1), [recording(tmp_path / "fast.wav", 4, rate=96000)]) == plain
