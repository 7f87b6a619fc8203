"""One conversation in different circumstances is one conversation."""

import random

import numpy as np
import pytest

from realtime.session import SessionLimits
from tests.conversations.stage import Echo, Stage, s16, silence, voice
from tests.conversations.test_golden import by_subject

END = {"type": "end"}


def talk(seed, ms=20_000):
    """Speech and silence of random lengths: float32 at 16 kHz."""
    rng, parts, n = random.Random(seed), [], 0
    while n < ms:
        parts += [silence(rng.choice([50, 200, 700, 1500, 4000])), voice(rng.choice([150, 400, 1300, 3000]))]
        n = sum(map(len, parts)) // 16
    return np.concatenate(parts)[: ms * 16]


def stereo(left, right):
    return s16(np.stack([left, right], axis=1).reshape(-1))


def conversation(tekken, audio, query=None, chunk=6400, **options):
    stage = Stage(Echo(tekken), query, SessionLimits(release_after_ms=3000), **options)
    stage.send(*(audio[at : at + chunk] for at in range(0, len(audio), chunk)), END)
    if stage.lazy:
        stage.run()
    assert stage.session.finished
    return stage


QUERIES = [{}, {"vad": "off"}, {"max_utterance_ms": "1500", "delay_ms": "80"}, {"delay_ms": "2400"}]


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_two_channels_are_two_mono_sessions(tekken, query):
    left, right = talk(1), talk(2)
    both = conversation(tekken, stereo(left, right), query | {"channels": "2"})
    for channel, audio in enumerate((left, right)):
        alone = conversation(tekken, s16(audio), query)
        for kind in ("partial", "final", "speech_started", "speech_stopped"):
            assert both.of(kind, channel) == [m | {"channel": channel} for m in alone.of(kind)]
        assert both.of("final", channel), "nothing was said"


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_random_chunks_are_one_chunk(tekken, query):
    audio, rng = s16(talk(3)), random.Random(4)
    whole = conversation(tekken, audio, query, chunk=len(audio))
    stage = Stage(Echo(tekken), query, SessionLimits(release_after_ms=3000))
    at = 0
    while at < len(audio):
        size = rng.choice([1, 2, 3, 321, 640, 5001])
        stage.send(audio[at : at + size])
        at += size
    stage.send(END)
    assert by_subject(stage.told) == by_subject(whole.told)
    assert len(stage.engine.frames) == len(whole.engine.frames)
    for (lease, frame), (other_lease, other) in zip(stage.engine.frames, whole.engine.frames, strict=True):
        assert lease == other_lease
        assert np.array_equal(frame, other)


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_an_engine_far_behind_makes_the_same_text(tekken, query):
    """All steps come after the last message: silences were passed, leases asked for and drains queued before."""
    audio = s16(talk(5))
    assert by_subject(conversation(tekken, audio, query, lazy=True).told) == by_subject(
        conversation(tekken, audio, query).told
    )


@pytest.mark.parametrize("encoding", ["pcm_f32le", "mulaw"])
def test_encodings_and_rates_say_the_same(tekken, encoding):
    audio = np.concatenate([silence(300), voice(1500), silence(1000)])[::2]
    data = {"pcm_f32le": lambda: audio.astype("<f4").tobytes(), "mulaw": lambda: mulaw(audio)}[encoding]()
    stage = conversation(tekken, data, {"encoding": encoding, "sample_rate": "8000"}, chunk=97)
    expected = conversation(tekken, s16(audio), {"sample_rate": "8000"}).of("final")
    assert [m["text"] for m in stage.of("final")] == [m["text"] for m in expected]
    assert stage.of("done")[0]["audio_ms"] == 2800


def mulaw(audio):
    """G.711 by its formula of segments, independent of the decoder's table."""
    value = np.minimum(np.abs(audio) * 32768, 32635).astype(int) + 132
    exponent = np.floor(np.log2(value)).astype(int) - 7
    mantissa = (value >> (exponent + 3)) & 15
    return (~(((audio < 0) << 7) | (exponent << 4) | mantissa) & 255).astype(np.uint8).tobytes()


def test_waiting_for_a_slot_loses_nothing(tekken):
    audio = s16(talk(6, ms=8000))
    stage = Stage(Echo(tekken, slots=0))
    stage.send(*(audio[at : at + 640] for at in range(0, len(audio), 640)), END)
    assert stage.of("final") == [] == stage.of("gap")
    stage.engine.slots = 1
    stage.session.retry()
    stage.settle()
    expected = Stage(Echo(tekken))
    expected.send(audio, END)
    assert by_subject(stage.told) == by_subject(expected.told)


def test_first_words_are_whole_after_any_silence(tekken):
    """The engine hears every sample of the speech, wherever in the stream it begins."""
    said = voice(700)
    for before_ms in (0, 200, 1000, 10_000, 60_000):
        stage = Stage(Echo(tekken))
        stage.send(s16(silence(before_ms), said, silence(1000)))
        heard = np.concatenate([frame for _, frame in stage.engine.frames])
        loud = np.flatnonzero(np.abs(heard) > 1e-3)
        spoken = np.flatnonzero(np.abs(said) > 1e-3)
        assert loud[-1] - loud[0] == spoken[-1] - spoken[0], before_ms
        start_ms = stage.of("final")[0]["words"][0]["start_ms"]
        assert before_ms - 100 <= start_ms <= before_ms + 300
