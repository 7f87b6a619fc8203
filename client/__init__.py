"""The voxwire client: captions from a microphone or a recording. Talks to a server, imports nothing of it.

async for event in stream_file("talk.wav"): ...
async with await connect(url, Options(), key) as stream: ...
"""

from client.conversation import Conversation, Reconnected, Retrying
from client.errors import ClientError
from client.files import stream_file
from client.protocol import (
    Done,
    Failed,
    Final,
    Gap,
    Options,
    Partial,
    Ready,
    SpeechStarted,
    SpeechStopped,
    Unknown,
    Warned,
    Word,
)
from client.stream import Stream, connect

__all__ = [
    "ClientError",
    "Conversation",
    "Done",
    "Failed",
    "Final",
    "Gap",
    "Options",
    "Partial",
    "Ready",
    "Reconnected",
    "Retrying",
    "SpeechStarted",
    "SpeechStopped",
    "Stream",
    "Unknown",
    "Warned",
    "Word",
    "connect",
    "stream_file",
]
