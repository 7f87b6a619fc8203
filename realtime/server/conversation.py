"""One session and its engine streams: carries out what the session asks for. No sockets, no clock, no threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from realtime.events import FRAME_MS, Command, Event, Step
from realtime.server.admission import EngineStream
from realtime.session import Feed, Open, Release, Session


class Lender(Protocol):
    """Where streams come from: a connection's seats, or a whole engine."""

    def open(self, delay_tokens: int) -> EngineStream | None: ...
    def release(self, stream: EngineStream) -> None: ...


class Conversation:
    def __init__(
        self,
        session: Session,
        lender: Lender,
        on_open: Callable[[int], None],
        on_close: Callable[[int], None],
    ):
        """`on_open(lease)` and `on_close(lease)` tell where steps of that lease belong from now on."""
        self.session = session
        self.frames_fed = 0
        self._lender = lender
        self._on_open = on_open
        self._on_close = on_close
        self._streams: dict[int, EngineStream] = {}  # by channel
        self._refused: list[int] = []  # channels whose frames wait inside the session for a slot

    @property
    def waits_for_slot(self) -> bool:
        return bool(self._refused)

    def receive(self, command: Command) -> None:
        self.session.receive(command)
        self._carry_out()

    def advance(self, steps: list[Step]) -> None:
        self.session.advance(steps)
        self._carry_out()

    def events(self) -> list[Event]:
        return self.session.events()

    def retry(self) -> None:
        """Ask again for the slots that were refused."""
        channels, self._refused = self._refused, []
        for channel in channels:
            self._open(channel)
        self._carry_out()

    def close(self) -> None:
        """Give every stream back. Idempotent."""
        self._refused.clear()
        for channel in list(self._streams):
            self._release(channel)

    def _carry_out(self) -> None:
        while effects := self.session.effects():
            for effect in effects:
                if isinstance(effect, Feed):
                    self._streams[effect.channel].feed(effect.frame)
                    self.frames_fed += 1
                elif isinstance(effect, Open):
                    self._open(effect.channel)
                elif isinstance(effect, Release):
                    self._release(effect.channel)

    def _open(self, channel: int) -> None:
        stream = self._lender.open(self.session.options.delay_ms // FRAME_MS)
        if stream is None:
            self._refused.append(channel)
            self.session.refused(channel)
            return
        self._streams[channel] = stream
        self._on_open(stream.lease)
        self.session.opened(channel, stream.lease)

    def _release(self, channel: int) -> None:
        stream = self._streams.pop(channel)
        self._on_close(stream.lease)
        self._lender.release(stream)
