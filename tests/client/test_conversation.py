"""Dialogues over real sockets: what a lost connection costs, and what the captions' times are after it."""

import asyncio
from collections import deque

import pytest

from client.conversation import Backoff, Conversation, Reconnected, Replay, Retrying, SourceClock
from client.errors import Busy, DeviceError, Lost, Unauthorized, Unreachable
from client.protocol import Done, Final, Partial, Ready
from client.source import Chunk

from .conftest import DONE, READY, Refusal

RATE = 16_000
SECOND = 2 * RATE  # bytes
FAST = {"first_s": 0.001, "longest_s": 0.002}


class Tape:
    """A source of `seconds` one-second chunks, `holes` left out; chunk n is filled with the byte n."""

    sample_rate = RATE
    channels = 1

    def __init__(self, seconds, holes=(), failure=None, gate_before=None):
        self._left = deque(n for n in range(seconds) if n not in holes)
        self._failure = failure
        self._stopped = False
        self._gate_before = gate_before
        self.gate = asyncio.Event()

    async def read(self):
        if self._left and self._left[0] == self._gate_before and not self._stopped:
            await self.gate.wait()
        if self._stopped or not self._left:
            if self._failure is not None and not self._stopped:
                raise self._failure
            return None
        n = self._left.popleft()
        return Chunk(n * RATE, RATE, bytes([n]) * SECOND)

    def stop(self):
        self._stopped = True
        self.gate.set()


def seconds_in(audio):
    return [audio[at] for at in range(0, len(audio), SECOND)]


def partial(text, start_ms, audio_ms, utterance=0):
    return {
        "type": "partial",
        "utterance": utterance,
        "text": text,
        "delta": text,
        "start_ms": start_ms,
        "audio_ms": audio_ms,
        "channel": 0,
    }


def final(text, start_ms, end_ms, utterance=0):
    return {
        "type": "final",
        "utterance": utterance,
        "text": text,
        "words": [{"text": text, "start_ms": start_ms, "end_ms": end_ms, "confidence": 1.0}],
        "start_ms": start_ms,
        "end_ms": end_ms,
        "channel": 0,
        "reason": "silence",
    }


def converse(scripted, tape, *scripts, during=None, **options):
    """Run the tape against the scripts. Returns the server, the happenings and the error that ended them."""

    async def run():
        async with scripted(*scripts) as server:
            source = tape()
            backoff = options.pop("backoff", None) or Backoff(**FAST)
            conversation = Conversation(source, server.url, backoff=backoff, **options)
            happenings, error = [], None
            try:
                async for happening in conversation.happenings():
                    happenings.append(happening)
                    if during is not None:
                        during(conversation, happening)
            except Exception as caught:
                error = caught
            return server, happenings, error

    return asyncio.run(asyncio.wait_for(run(), 20))


async def listen_to_the_end(seen):
    await seen.say(READY)
    await seen.hear_end()
    await seen.say(final("all", 100, 900), DONE)


def test_one_connection_is_enough(scripted):
    server, happenings, error = converse(scripted, lambda: Tape(3), listen_to_the_end)
    assert error is None
    assert seconds_in(server.seen[0].audio) == [0, 1, 2]
    assert [type(happening) for happening in happenings] == [Ready, Final, Done]


def test_a_lost_connection_goes_on_with_true_times_and_nothing_lost(scripted):
    async def breaks(seen):
        await seen.say(READY)
        await seen.hear(4 * SECOND)
        await seen.say(final("one", 200, 1100), partial("two", 2100, 2900, utterance=1))
        await seen.socket.close(1011)

    async def goes_on(seen):
        await seen.say(READY)
        await seen.hear_end()
        await seen.say(final("three", 300, 800), {**DONE, "audio_ms": 4000})

    server, happenings, error = converse(scripted, lambda: Tape(6), breaks, goes_on)

    assert error is None
    finals = [h for h in happenings if isinstance(h, Final)]
    # The model had heard 2.9 s with 480 ms of delay, so its words end at 2.42 s: second 2 is sent again.
    assert seconds_in(server.seen[1].audio)[0] == 2
    assert seconds_in(server.seen[1].audio)[-1] == 5
    assert [(f.text, f.start_ms, f.end_ms, f.reason) for f in finals] == [
        ("one", 200, 1100, "silence"),
        ("two", 2100, 2420, "lost"),
        ("three", 2300, 2800, "silence"),
    ]
    assert finals[2].words[0].start_ms == 2300
    assert [f.utterance for f in finals] == [0, 1, 2]
    assert happenings[-1].audio_ms == 6000
    notices = [h for h in happenings if isinstance(h, Retrying | Reconnected)]
    assert [type(notice) for notice in notices] == [Retrying, Reconnected]
    assert "close code 1011" in notices[0].why


def test_what_was_never_spoken_of_is_sent_again(scripted):
    async def breaks(seen):
        await seen.say(READY)
        await seen.hear(2 * SECOND)
        await seen.say({"type": "speech_stopped", "at_ms": 1900, "channel": 0})
        await seen.socket.close(1001)

    server, happenings, error = converse(scripted, lambda: Tape(3), breaks, listen_to_the_end)
    assert error is None
    assert seconds_in(server.seen[1].audio) == [0, 1, 2]
    assert [h.resent_ms >= 2000 for h in happenings if isinstance(h, Reconnected)] == [True]


def test_holes_in_the_source_keep_the_times_true(scripted):
    async def script(seen):
        await seen.say(READY)
        await seen.hear_end()
        await seen.say(final("before", 500, 900), final("after", 2500, 2900, utterance=1), DONE)

    server, happenings, _ = converse(scripted, lambda: Tape(6, holes=(2, 3)), script)
    assert seconds_in(server.seen[0].audio) == [0, 1, 4, 5]
    assert [h.start_ms for h in happenings if isinstance(h, Final)] == [500, 4500]
    assert [text["type"] for text in server.seen[0].texts] == ["flush", "end"]


def test_no_server_at_the_start_fails_at_once():
    async def run():
        async for _ in Conversation(Tape(1), "ws://127.0.0.1:1/v1/stream").happenings():
            raise AssertionError("nothing can have happened")

    with pytest.raises(Unreachable):
        asyncio.run(run())


def test_a_busy_server_is_waited_for(scripted):
    busy = Refusal(503, headers={"Retry-After": "0"})
    server, happenings, error = converse(scripted, lambda: Tape(1), busy, busy, listen_to_the_end)
    assert error is None
    assert server.requests == 3
    assert [type(h) for h in happenings] == [Retrying, Retrying, Ready, Final, Done]


def test_a_server_that_stays_busy_ends_the_patience(scripted):
    busy = Refusal(503, headers={"Retry-After": "40"})
    _, happenings, error = converse(scripted, lambda: Tape(1), busy, backoff=Backoff(patience_s=30))
    assert happenings == []
    assert isinstance(error, Busy)


def test_a_wrong_key_is_not_tried_twice(scripted):
    server, _, error = converse(scripted, lambda: Tape(1), Refusal(401))
    assert isinstance(error, Unauthorized)
    assert server.requests == 1


def test_a_limit_is_not_tried_again(scripted):
    async def script(seen):
        await seen.say(
            READY,
            partial("half", 0, 900),
            {"type": "error", "code": "limit_reached", "message": "Long enough.", "fatal": True},
        )
        await seen.socket.close(1008)

    server, happenings, error = converse(scripted, lambda: Tape(1), script)
    assert str(error) == "The server ended the stream: Long enough."
    assert server.requests == 1
    assert [h.text for h in happenings if isinstance(h, Final)] == ["half"]


def test_stop_gets_the_last_words(scripted):
    async def script(seen):
        await seen.say(READY)
        await seen.hear(2 * SECOND)
        await seen.say(partial("words", 0, 1900))
        await seen.hear_end()
        await seen.say(final("last words", 0, 1900), DONE)

    def stop(conversation, happening):
        if isinstance(happening, Partial):
            conversation.stop()

    server, happenings, error = converse(scripted, lambda: Tape(9, gate_before=2), script, during=stop)
    assert error is None
    assert seconds_in(server.seen[0].audio) == [0, 1]
    assert [type(h) for h in happenings][-2:] == [Final, Done]


def test_stop_while_the_server_is_away_tries_once_more(scripted):
    async def breaks(seen):
        await seen.say(READY)
        seen.socket.transport.abort()

    def stop(conversation, happening):
        if isinstance(happening, Retrying):
            conversation.stop()

    patient = Backoff(first_s=1000, longest_s=1000, patience_s=1e6)
    tape = lambda: Tape(9, gate_before=1)  # noqa: E731
    server, _, error = converse(scripted, tape, breaks, listen_to_the_end, during=stop, backoff=patient)
    assert error is None
    assert seconds_in(server.seen[1].audio) == [0]


def test_a_source_that_breaks_still_gets_its_finals(scripted):
    gone = DeviceError("The microphone went away.")
    server, happenings, error = converse(scripted, lambda: Tape(2, failure=gone), listen_to_the_end)
    assert error is gone
    assert seconds_in(server.seen[0].audio) == [0, 1]
    assert [type(h) for h in happenings] == [Ready, Final, Done]


def test_a_fault_of_the_source_is_not_swallowed(scripted):
    tape = lambda: Tape(1, failure=ZeroDivisionError("bug"))  # noqa: E731
    _, _, error = converse(scripted, tape, listen_to_the_end)
    assert isinstance(error, ZeroDivisionError)


def test_a_server_that_hangs_is_given_up(scripted):
    async def hangs(seen):
        await seen.say(READY)
        await seen.socket.wait_closed()

    _, happenings, error = converse(scripted, lambda: Tape(1), hangs, listen_to_the_end, stall_s=0.5)
    assert error is None
    assert [h.why for h in happenings if isinstance(h, Retrying)] == [
        "The server gave no sign of life for 0.5 s."
    ]


def chunk(start_s, seconds=1):
    return Chunk(start_s * RATE, seconds * RATE, b"")


def test_clock_of_a_source_with_holes():
    clock = SourceClock(RATE)
    for start_s in (10, 11, 15):
        clock.sent(chunk(start_s))
    assert [clock.start_to_source_ms(ms) for ms in (0, 1999, 2000, 2500)] == [10_000, 11_999, 15_000, 15_500]
    assert [clock.end_to_source_ms(ms) for ms in (0, 1999, 2000, 2500)] == [10_000, 11_999, 12_000, 15_500]


def test_replay_is_bounded():
    replay = Replay(RATE, limit_s=3)
    for start_s in range(10):
        replay.add(chunk(start_s))
    assert [c.start_sample // RATE for c in replay.chunks()] == [7, 8, 9]
    replay.heard(8_500)
    assert [c.start_sample // RATE for c in replay.chunks()] == [8, 9]
    assert replay.length_ms == 2000


def test_backoff_doubles_is_capped_and_obeys_the_server():
    backoff = Backoff(first_s=1, longest_s=4, patience_s=1000)
    lost = Lost("gone", retry=True)
    waits = [backoff.next_s(lost) for _ in range(4)]
    for wait, middle in zip(waits, (1, 2, 4, 4), strict=True):
        assert 0.8 * middle <= wait <= 1.2 * middle
    assert backoff.next_s(Busy("full", 60)) == 60
    backoff.reset()
    assert backoff.next_s(lost) <= 1.2


def test_backoff_runs_out_of_patience():
    backoff = Backoff(first_s=1, longest_s=1, patience_s=2)
    lost = Lost("gone", retry=True)
    backoff.next_s(lost)
    with pytest.raises(Lost):
        for _ in range(3):
            backoff.next_s(lost)
