"""`/v1/realtime` is the address of two protocols: OpenAI's, in two generations, and vLLM's. The client's first message
tells which it speaks, and that holds for the rest of the connection.

    first evidence                                              protocol
    header OpenAI-Beta, or `intent` in the query                OpenAI
    session.update with `model` and without `session`           vLLM
    input_audio_buffer.commit before any audio                  vLLM
    any other message with a type                               OpenAI

The hello serves both: OpenAI's clients read `session` in it, vLLM's read `id` and `created` beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from realtime.dialects.base import UNREADABLE, Dialect, Frame, Handshake, Note, Request
from realtime.dialects.openai_realtime import OpenAIRealtimeDialect
from realtime.dialects.vllm_realtime import VllmRealtimeDialect
from realtime.errors import VoxwireError
from realtime.events import Configure, Event, Ready, SessionOptions


class FirstMessage(msgspec.Struct):
    type: Any = None
    model: Any = None
    session: Any = None


_FIRST = msgspec.json.Decoder(FirstMessage).decode


class RealtimePathDialect(Dialect):
    """OpenAI's until there is evidence: it says the hello, and answers what is no message at all."""

    subprotocols = OpenAIRealtimeDialect.subprotocols
    largest_message_bytes = OpenAIRealtimeDialect.largest_message_bytes
    idle_timeout_s = OpenAIRealtimeDialect.idle_timeout_s

    def __init__(self, now: Callable[[], float] = time.time):
        """`now()` is Unix time."""
        self._openai = OpenAIRealtimeDialect(now)
        self._dialect: Dialect = self._openai
        self._decided = False
        self._due: list[Request] = []  # what the choice asks of the session, before anything else

    def open(self, handshake: Handshake, defaults: SessionOptions) -> SessionOptions:
        self._handshake, self._defaults = handshake, defaults
        self._decided = "openai-beta" in handshake.headers or bool(handshake.last("intent"))
        return self._dialect.open(handshake, defaults)

    def decode(self, message: Frame) -> Iterable[Request]:
        if not self._decided:
            self._decide(message)
        requests = self._dialect.decode(message)
        if self._due:
            requests, self._due = [*self._due, *requests], []
        return requests

    def encode(self, event: Event | Note) -> list[Frame]:
        # The hello, and what was left to say before the decision: only one of the protocols knows either.
        speaker = self._openai if isinstance(event, Ready | Note) else self._dialect
        return speaker.encode(event)

    def refusal(self, error: VoxwireError) -> dict[str, Any]:
        return self._dialect.refusal(error)

    def headers(self, error: VoxwireError | None = None) -> Mapping[str, str]:
        return self._dialect.headers(error)

    def idled(self, timeout_s: float) -> VoxwireError:
        return self._dialect.idled(timeout_s)

    def farewell(self, code: int, reason: str) -> tuple[int, str]:
        return self._dialect.farewell(code, reason)

    def close(self) -> None:
        self._dialect.close()

    def _decide(self, message: Frame) -> None:
        try:
            first = _FIRST(message) if isinstance(message, str) else FirstMessage()
        except UNREADABLE:
            return
        if speaks_vllm(first):
            self._dialect = VllmRealtimeDialect()
            self._due = [Configure(self._dialect.open(self._handshake, self._defaults))]
        self._decided = isinstance(first.type, str)


def speaks_vllm(first: FirstMessage) -> bool:
    if first.type == "session.update":
        return first.model is not None and first.session is None
    return first.type == "input_audio_buffer.commit"
