"""One session and its engine streams: carries out what the session asks for. No sockets, no clock, no threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from realtime.events import Command, Event, Step
from realtime.server.admission import EngineStream
from realtime.session import Feed, Open, Release, Session


class Lender(Protocol):
    """Where streams come from: a connection's seats, or a whole engine."""

    def open(self, delay_tokens: int, channel: int) -> EngineStream | None: ...

    def release(self, stream: EngineStream) -> None: ...

    def settle(self) -> None:
        """What was released may go to others now."""


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
        self._fed: list[bool] = []  # of every frame fed since `take_fed`: whether it holds sound
        self._lender = lender
        self._on_open = on_open
        self._on_close = on_close
        self._streams: dict[int, EngineStream] = {}  # by channel
        self._held = self._closed = False

    def hold(self) -> None:
        """Let the session have nothing before `begin`."""
        self._held = True

    def begin(self) -> None:
        """A session asks for its leases at once."""
        self._held = False
        self._carry_out()

    def receive(self, command: Command) -> None:
        self.session.receive(command)
        self._carry_out()

    def advance(self, steps: list[Step]) -> None:
        self.session.advance(steps)
        self._carry_out()

    def take_fed(self) -> list[bool]:
        """Of every frame fed since the last call: whether it holds sound. Those that drain a delay hold none."""
        fed, self._fed = self._fed, []
        return fed

    def events(self) -> list[Event]:
        return self.session.events()

    def retry(self) -> None:
        """Ask again for the slots that were refused."""
        self.session.retry()
        self._carry_out()

    def give_up(self) -> None:
        """Stop waiting for slots that were refused."""
        self.session.give_up()
        self._carry_out()

    def rest(self) -> None:
        """Give back the slots on which nothing is under way."""
        self.session.rest()
        self._carry_out()

    def close(self) -> None:
        """Give every stream back and take no other. Idempotent."""
        # First, because what is given back is offered to all who wait, and this one may be among them.
        self._closed = True
        for channel in list(self._streams):
            self._release(channel)
        self._lender.settle()

    def _carry_out(self) -> None:
        while not self._held and not self._closed and (effects := self.session.effects()):
            for effect in effects:
                if isinstance(effect, Feed):
                    self._streams[effect.channel].feed(effect.frame)
                    self._fed.append(bool(effect.frame.any()))
                elif isinstance(effect, Open):
                    self._open(effect)
                elif isinstance(effect, Release):
                    self._release(effect.channel)
        # Only now: a session that swaps a lease for a fresh one must not lose its slot in between.
        self._lender.settle()

    def _open(self, ask: Open) -> None:
        stream = self._lender.open(ask.delay_tokens, ask.channel)
        if stream is None:
            self.session.refused(ask.channel)
            return
        self._streams[ask.channel] = stream
        self._on_open(stream.lease)
        self.session.opened(ask.channel, stream.lease)

    def _release(self, channel: int) -> None:
        stream = self._streams.pop(channel, None)
        if stream is None:  # its Open was refused
            return
        self._on_close(stream.lease)
        self._lender.release(stream)
