"""The outbox keeps every event and, of the partials, the latest per channel."""

import asyncio

from realtime.events import Final, Partial, SpeechStarted, SpeechStopped
from realtime.server.outbox import Outbox


def partial(text: str, delta: str, utterance: int = 0, channel: int = 0) -> Partial:
    return Partial(utterance, text, delta, 0, 0, channel)


def final(utterance: int, channel: int = 0) -> Final:
    return Final(utterance, "x", (), 0, 1, "silence", channel)


def drained(outbox: Outbox) -> list:
    events = []
    while (event := outbox.pop()) is not None:
        events.append(event)
    return events


def test_a_newer_partial_replaces_the_older_and_keeps_its_delta():
    outbox = Outbox()
    outbox.put(partial("one", "one"))
    outbox.put(partial("one two", " two"))
    assert drained(outbox) == [partial("one two", "one two")]


def test_a_partial_that_was_sent_is_not_repeated_in_the_next_delta():
    outbox = Outbox()
    outbox.put(partial("one", "one"))
    outbox.pop()
    outbox.put(partial("one two", " two"))
    assert drained(outbox) == [partial("one two", " two")]


def test_the_newer_partial_stands_behind_what_was_said_between():
    outbox = Outbox()
    outbox.put(partial("a", "a"))
    outbox.put(SpeechStopped(10))
    outbox.put(partial("a b", " b"))
    assert drained(outbox) == [SpeechStopped(10), partial("a b", "a b")]


def test_channels_do_not_replace_each_other():
    outbox = Outbox()
    outbox.put(partial("left", "left", channel=0))
    outbox.put(partial("right", "right", channel=1))
    assert [event.text for event in drained(outbox)] == ["left", "right"]


def test_a_final_withdraws_the_partial_of_its_own_utterance_only():
    outbox = Outbox()
    outbox.put(partial("other", "other", channel=1))
    outbox.put(partial("x", "x"))
    outbox.put(final(0))
    outbox.put(partial("y", "y", utterance=1))
    assert drained(outbox) == [partial("other", "other", channel=1), final(0), partial("y", "y", utterance=1)]


def test_finals_are_never_dropped_and_the_bound_is_told():
    outbox = Outbox(max_events=3)
    assert [outbox.put(final(n)) for n in range(5)] == [True, True, True, False, False]
    assert [event.utterance for event in drained(outbox)] == [0, 1, 2, 3, 4]


def test_partials_do_not_count_towards_the_bound():
    outbox = Outbox(max_events=1)
    assert outbox.put(SpeechStarted(0))
    assert outbox.put(partial("a", "a"))
    assert outbox.put(partial("b", "b", channel=1))


def test_a_thousand_partials_take_the_room_of_one():
    outbox = Outbox()
    for n in range(1000):
        outbox.put(partial("a" * n, "a"))
    assert len(outbox) == 1


def test_wait_returns_when_something_arrives():
    async def scene() -> None:
        outbox = Outbox()
        waiting = asyncio.create_task(outbox.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        outbox.put(SpeechStarted(0))
        assert await asyncio.wait_for(waiting, 5) is True
        outbox.pop()
        again = asyncio.create_task(outbox.wait())
        await asyncio.sleep(0)
        assert not again.done()
        outbox.close()
        assert await asyncio.wait_for(again, 5) is False

    asyncio.run(scene())


def test_clear_forgets_everything():
    outbox = Outbox()
    outbox.put(partial("a", "a"))
    outbox.put(final(5))
    outbox.clear()
    outbox.put(partial("b", "b", utterance=6))
    assert drained(outbox) == [partial("b", "b", utterance=6)]
