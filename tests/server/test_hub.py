"""Calls and their followers, without sockets."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref

import pytest

from realtime.errors import ShuttingDown, SlowReader
from realtime.events import Done, Error, Final, Partial, SpeechStarted
from realtime.server import hub as hub_module
from realtime.server.hub import Hub, NoSuchCall
from tests.server.fakes import until

TIMEOUT_S = 30


def run(scene) -> None:
    asyncio.run(asyncio.wait_for(scene, TIMEOUT_S))


def partial(text, utterance=0, channel=0):
    return Partial(utterance, text, "?", 0, 80, channel)


def final(text, utterance=0, channel=0):
    return Final(utterance, text, (), 0, 500, "silence", channel)


def new_hub(**options):
    return Hub(asyncio.get_running_loop(), **options)


class Follower:
    """Takes what a call says, one message at a time or all that there is."""

    def __init__(self, call, after=0):
        self.entries = call.follow(after)

    async def next(self):
        return json.loads((await anext(self.entries)).text)

    async def rest(self):
        return [json.loads(entry.text) async for entry in self.entries]


def kinds(messages):
    return [message["type"] for message in messages]


def test_a_late_follower_gets_everything_but_the_partials():
    async def scene():
        call = new_hub().open("c", {"carrier": "x"})
        for event in (SpeechStarted(0), partial("a"), partial("a b"), final("a b"), partial("c", 1)):
            call.tell(event)
        follower = Follower(call)
        assert kinds([await follower.next() for _ in range(4)]) == [
            "call_started",
            "speech_started",
            "final",
            "partial",
        ]
        call.tell(Done(1000, 500, 1))
        call.end("ended")
        assert kinds(await follower.rest()) == ["done", "call_stopped"]
        assert kinds(await Follower(call).rest()) == [
            "call_started",
            "speech_started",
            "final",
            "done",
            "call_stopped",
        ]

    run(scene())


def test_a_follower_that_is_behind_gets_the_latest_partial_and_a_delta_that_fits():
    async def scene():
        call = new_hub().open("c", {})
        follower = Follower(call)
        await follower.next()
        call.tell(partial("a"))
        assert (await follower.next())["delta"] == "a"
        call.tell(partial("a b"))
        call.tell(partial("a b c", channel=0))
        call.tell(partial("x", channel=1))
        said = [await follower.next(), await follower.next()]
        assert [(m["channel"], m["text"], m["delta"]) for m in said] == [(0, "a b c", " b c"), (1, "x", "x")]
        call.tell(final("a b c d"))
        call.tell(partial("n", utterance=1))
        call.tell(partial("n m", utterance=1))
        assert [(await follower.next())["type"], (await follower.next())["delta"]] == ["final", "n m"]

    run(scene())


def test_an_empty_final_takes_its_partial_along_and_says_nothing():
    async def scene():
        call = new_hub().open("c", {})
        call.tell(partial("a"))
        call.tell(final(""))
        call.end("ended")
        assert kinds(await Follower(call).rest()) == ["call_started", "call_stopped"]

    run(scene())


def test_the_same_error_is_told_once_until_the_next_final():
    async def scene():
        call = new_hub().open("c", {})
        for _ in range(100):
            call.tell(Error("bad_message", "What?", False))
        call.tell(Error("out_of_order", "When?", False))
        call.tell(final("a"))
        call.tell(Error("out_of_order", "When?", False))
        call.end("ended")
        assert kinds(await Follower(call).rest())[1:-1] == ["error", "error", "final", "error"]

    run(scene())


def test_the_log_is_bounded_and_overtakes_who_does_not_read(monkeypatch):
    monkeypatch.setattr(hub_module, "MAX_LOG_BYTES", 2000)

    async def scene():
        call = new_hub().open("c", {})
        slow = Follower(call)
        await slow.next()
        for n in range(100):
            call.tell(final("word " * 10, n))
        assert sum(map(len, call.so_far())) <= 2000
        with pytest.raises(SlowReader):
            await slow.next()
        call.end("ended")
        late = await Follower(call).rest()
        assert len(late) > 3 and late[-1]["type"] == "call_stopped"
        assert late[0]["utterance"] > 80

    run(scene())


def test_a_follower_goes_on_behind_what_it_knows():
    async def scene():
        call = new_hub().open("c", {})
        call.tell(final("a"))
        call.tell(final("b", 1))
        call.end("ended")
        assert [m.get("text") for m in await Follower(call, after=2).rest()] == ["b", None]
        assert call.last_sequence == 4

    run(scene())


def test_names_of_running_calls_are_numbered_and_become_free():
    async def scene():
        hub = new_hub()
        first, second, third = (hub.open("c", {}) for _ in range(3))
        assert [call.id for call in hub.running()] == ["c", "c-2", "c-3"]
        first.end("ended")
        again = hub.open("c", {})
        assert again.id == "c" and hub.get("c") is again
        assert hub.running() == [second, third, again]

    run(scene())


def test_finished_calls_stay_for_a_while_and_only_so_many():
    async def scene():
        hub = new_hub(keep_calls=2)
        for name in "abc":
            hub.open(name, {}).end("ended")
        assert (hub.get("a"), hub.running()) == (None, [])
        assert hub.get("b") is not None and hub.get("c") is not None
        short = new_hub(keep_s=0.01)
        short.open("a", {}).end("ended")
        assert short.get("a") is not None
        await until(lambda: short.get("a") is None)

    run(scene())


def test_nothing_remembers_a_call_that_was_forgotten():
    async def scene():
        hub = new_hub(keep_calls=1)
        seen = []
        for name in "abc":
            call = hub.open(name, {})
            call.end("ended")
            seen.append(weakref.ref(call))
        del call
        gc.collect()
        assert [ref() is None for ref in seen] == [True, True, False]

    run(scene())


def test_a_finished_call_is_not_forgotten_with_its_namesake():
    async def scene():
        hub = new_hub(keep_s=0.01)
        first = hub.open("a", {})
        first.end("ended")
        second = hub.open("a", {})
        await until(lambda: not hub._finished)
        assert hub.get("a") is second

    run(scene())


def test_who_comes_before_the_call_waits_for_it():
    async def scene():
        hub = new_hub()
        waiting = [asyncio.ensure_future(hub.wait_for("c", TIMEOUT_S)) for _ in range(2)]
        await until(lambda: "c" in hub._awaited)
        call = hub.open("c", {})
        assert await asyncio.gather(*waiting) == [call, call]
        assert hub._awaited == {}

    run(scene())


def test_waiting_is_bounded_and_ends_with_the_server():
    async def scene():
        hub = new_hub()
        with pytest.raises(NoSuchCall):
            await hub.wait_for("c", 0.01)
        waiting = asyncio.ensure_future(hub.wait_for("c", TIMEOUT_S))
        await until(lambda: "c" in hub._awaited)
        hub.close()
        with pytest.raises(ShuttingDown):
            await waiting
        with pytest.raises(ShuttingDown):
            await hub.wait_for("c", TIMEOUT_S)
        assert hub._awaited == {}

    run(scene())


def test_the_observer_is_told_of_finals_and_of_what_is_published():
    async def scene():
        seen = []
        hub = new_hub(
            observe=lambda call, entry: seen.append((entry.sequence, json.loads(entry.text)["type"]))
        )
        call = hub.open("c", {})
        call.tell(SpeechStarted(0))
        call.tell(partial("a"))
        call.tell(final("a"))
        call.tell(final("", 1))
        call.publish({"type": "dtmf", "digit": "1"})
        call.end("ended")
        assert seen == [(1, "call_started"), (3, "final"), (4, "dtmf"), (5, "call_stopped")]

    run(scene())
