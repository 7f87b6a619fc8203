"""What others import: `from client import ...`."""

import asyncio
from contextlib import aclosing

from client import Done, Final, Options, Partial, Ready, stream_file

from .conftest import DONE, READY

PARTIAL = {"type": "partial", "utterance": 0, "text": "he", "delta": "he", "start_ms": 0, "audio_ms": 500}
FINAL = {"type": "final", "utterance": 0, "text": "hello", "words": [], "start_ms": 0, "end_ms": 900}


async def captions(seen):
    await seen.say(READY, PARTIAL)
    await seen.hear_end()
    await seen.say(FINAL, DONE)


def test_stream_file_yields_the_captions_of_a_recording(scripted, recording):
    path = recording(rate=8000)

    async def run():
        async with scripted(captions) as server:
            events = [
                e async for e in stream_file(path, server.url, fast=True, options=Options(delay_ms=240))
            ]
            return server.seen[0], events

    seen, events = asyncio.run(run())
    assert [type(event) for event in events] == [Ready, Partial, Final, Done]
    assert events[2].text == "hello"
    assert len(seen.audio) == 16000
    assert (seen.query["sample_rate"], seen.query["delay_ms"]) == ("8000", "240")


def test_a_reader_may_leave_in_the_middle(scripted, recording):
    async def stays(seen):
        await seen.say(READY, PARTIAL)
        await seen.socket.wait_closed()

    async def run():
        async with scripted(stays) as server:
            async with aclosing(stream_file(recording(seconds=60), server.url)) as events:
                async for event in events:
                    if isinstance(event, Partial):
                        break
            return [repr(task) for task in asyncio.all_tasks()], server.seen[0].socket

    tasks, socket = asyncio.run(asyncio.wait_for(run(), 20))
    assert not [task for task in tasks if "Conversation" in task]
    assert socket.close_code == 1000
