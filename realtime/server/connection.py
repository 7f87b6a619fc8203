"""One admitted client from upgrade to farewell: socket, dialect and conversation joined, whatever the dialect is.

    socket ─► reader ─► dialect ─► conversation ─► outbox ─► writer ─► socket

One task always reads, one writes, one watches the time; the first that finds a reason ends all three, and a farewell
follows: what is still owed, an error with its code, the close code.

A stream that is announced has subscribers: they are told what the client is told, whether it understands it or not,
and when the client leaves they still get the finals of what it said.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import WSCloseCode, WSMessage, WSMsgType

from realtime.config import LimitsConfig
from realtime.dialects.base import (
    Announce,
    Credentials,
    Dialect,
    Frame,
    HangUp,
    Note,
    Publish,
    Reply,
    Request,
)
from realtime.errors import (
    SHARED_ERRORS,
    AtCapacity,
    InternalError,
    LimitReached,
    OutOfOrder,
    SlowReader,
    Unauthorized,
    VoxwireError,
)
from realtime.events import (
    SAMPLE_BYTES,
    Audio,
    Command,
    Configure,
    Done,
    End,
    Error,
    Event,
    Reconfigure,
    Step,
    Warning_,
)
from realtime.server.admission import Seats
from realtime.server.conversation import Conversation
from realtime.server.exchange import Exchange
from realtime.server.metrics import EventClock, Metrics
from realtime.server.outbox import Outbox
from realtime.session import Session

log = logging.getLogger("voxwire.stream")

FAREWELL_TIMEOUT_S = 5.0  # for everything after the decision to end
KEY_TIMEOUT_S = 10.0  # for a key that comes within a message: a connection is held meanwhile
WATCH_INTERVAL_S = 5.0  # how late a deadline that arose meanwhile may be noticed
PORTION_BYTES = 64 * 1024  # of audio handled at once: a few milliseconds of the loop
MESSAGE_BYTES = 2 * 1024  # as much work as the smallest message
NEVER_S = float("inf")  # when a frame of silence is due: nobody waits for it
LIVE_S = 2.0  # a source that is ahead of real time by no more is live
CLOSE_CODES = {cls.code: cls.close_code for cls in SHARED_ERRORS}


class Carrier(Protocol):
    """A two-way connection that carries messages: a WebSocket, or a byte stream that is cut anywhere."""

    closed: bool
    is_lost: bool  # known to be gone, which receive() tells only those who call it
    close_code: int | None
    fault: tuple[int, VoxwireError] | None  # what it closed for on its own, and with which code

    async def receive(self) -> WSMessage: ...  # any type but TEXT and BINARY: the client is gone
    async def send(self, frame: Frame) -> None: ...  # raises ConnectionError when the client is gone
    async def close(self, *, code: int, message: bytes) -> object: ...


class Broadcast(Protocol):
    """What an announced stream says is told here. Never waits, never raises."""

    def tell(self, event: Event) -> None: ...
    def publish(self, message: Mapping[str, Any]) -> None: ...
    def end(self, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a connection ends. `error` is told to the client first; code None means that the client is gone."""

    code: int | None
    reason: str = ""  # of the close frame: an error's code
    error: VoxwireError | None = None

    @classmethod
    def by(cls, error: VoxwireError) -> Ending:
        return cls(error.close_code, error.code, error)


GONE = Ending(None)
FINISHED = Ending(WSCloseCode.OK)


class Connection:
    """One admitted client from upgrade to farewell."""

    def __init__(
        self,
        *,
        socket: Carrier,
        dialect: Dialect,
        authorize: Callable[[str], object],
        authorized: bool,
        announce: Callable[[str, Mapping[str, Any]], Broadcast],
        session: Session,
        seats: Seats,
        exchange: Exchange,
        metrics: Metrics,
        limits: LimitsConfig,
        drain_timeout_s: float,
    ):
        """`authorize(key)` raises Unauthorized; it is asked about keys that come within messages, unless the client was
        `authorized` before.
        """
        self._socket = socket
        self._dialect = dialect
        self._authorize = authorize
        self._authorized = authorized
        self._announce = announce
        self._broadcast: Broadcast | None = None
        self._lost = False  # the client has left; its stream runs out for the subscribers
        self._limits = limits
        self._idle_timeout_s = _idle_timeout_s(limits.idle_timeout_s, dialect.idle_timeout_s)
        self._drain_timeout_s = drain_timeout_s
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox()
        self._ended: asyncio.Future[Ending] = self._loop.create_future()
        self._credit = asyncio.Event()  # set while the reader may read
        self._credit.set()
        self._started_s = self._heard_s = self._audio_heard_s = self._loop.time()
        self._first_audio_s: float | None = None
        self._waiting_since_s: float | None = None
        self._writing_since_s: float | None = None
        self._audio_s = 0.0  # received, in stream time
        self._unyielded_bytes = 0  # taken since others had their turn
        # Of every frame in the engine: when it came, or would have come in real time.
        self._due_s: deque[float] = deque()
        self._lagging = False
        self._client_ended = False
        self._farewell: VoxwireError | None = None  # set when the server lets the stream run out
        self._session = session
        self._seats = seats
        self._conversation = Conversation(
            session, seats, lambda lease: exchange.enter(lease, self), exchange.leave
        )
        self._clock = EventClock(metrics)
        seats.retry = self.retry

    # ------------------------------------------------------------ life

    async def run(self) -> Ending:
        """Serve until somebody ends it; every slot and task is back when this returns."""
        writer = self._loop.create_task(self._write())
        writer.add_done_callback(self._note_writer)
        ending = GONE
        try:
            try:
                if self._authorized:
                    self._conversation.begin()
                else:
                    self._conversation.hold()
                self._pump()
                ending = await self._live()
            except* VoxwireError as group:
                ending = Ending.by(group.exceptions[0])
            except* Exception as group:
                log.error("session %s failed", self._session.session_id, exc_info=group)
                ending = Ending.by(InternalError("The server failed on this stream."))
            finally:
                self._conversation.close()
                self._sign_off(ending)
            await self._say_farewell(ending, writer)
            return ending
        finally:
            writer.cancel()
            self._dialect.close()

    async def _live(self) -> Ending:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._read()), group.create_task(self._watch())]
            ending = await self._ended
            for task in tasks:
                task.cancel()
        return ending

    def end(self, ending: Ending) -> None:
        """The first reason counts."""
        if not self._ended.done():
            self._ended.set_result(ending)

    def fail(self, error: Exception) -> None:
        """A fault in a callback of the loop: the stream ends, the others go on."""
        known = isinstance(error, VoxwireError)
        self.end(Ending.by(error if known else InternalError("The server failed on this stream.")))

    def _sign_off(self, ending: Ending) -> None:
        """The last that subscribers hear: why the stream ended."""
        broadcast, self._broadcast = self._broadcast, None
        if broadcast is None:
            return
        if ending.error is not None:
            broadcast.tell(_as_event(ending.error))
        orderly = self._client_ended or self._socket.close_code == WSCloseCode.OK
        broadcast.end(ending.reason or ("ended" if orderly else "disconnected"))

    def _lose(self) -> None:
        """The client has left, some right behind their last word. Subscribers still want the finals."""
        if self._broadcast is None or self._ended.done():
            self.end(GONE)
            return
        self._lost = True
        self._loop.call_later(self._drain_timeout_s, self.end, GONE)
        if not self._client_ended and self._farewell is None:
            self._conversation.receive(End())
        if self._session.is_waiting:
            self._conversation.give_up()
        self._pump()

    def wind_down(self, error: VoxwireError) -> None:
        """Let what was heard become finals, then close with `error`; at most `drain_timeout_s` long.

        A client that has sent `end`, and waits for no slot, gets its `done` in that time and never knows.
        """
        if self._farewell is not None or self._lost or self._ended.done():
            return
        self._loop.call_later(self._drain_timeout_s, self.end, Ending.by(error))
        if self._client_ended and not self._session.is_waiting:
            return
        self._farewell = error
        try:
            if not self._client_ended:
                self._conversation.receive(End())
            if self._session.is_waiting:
                self._conversation.give_up()
            self._pump()
        except Exception as fault:
            self.fail(fault)

    async def _say_farewell(self, ending: Ending, writer: asyncio.Task) -> None:
        """Let the writer send what is owed, then close. A client that does not read in time is cut off.

        The writer is not cancelled before: the library's next write would find the cancelled wait and fail.
        """
        if ending.code is None or self._socket.closed:
            return
        if isinstance(ending.error, SlowReader):
            self._outbox.clear()
        if ending.error is not None:
            self._tell(ending.error)
        self._outbox.close()
        try:
            async with asyncio.timeout(FAREWELL_TIMEOUT_S):
                await asyncio.wait([writer])
                if ending.error is not None and writer.exception() is not None:  # it could not say it
                    await self._send(_as_event(ending.error))
                code, reason = self._dialect.farewell(ending.code, ending.reason)
                await self._socket.close(code=code, message=reason.encode())
        except (TimeoutError, ConnectionError):
            pass
        except asyncio.CancelledError:
            if (
                asyncio.current_task().cancelling()
            ):  # else it is such a wait, cancelled with the reader's pong
                raise

    # ------------------------------------------------------------ the three tasks

    async def _read(self) -> None:
        """Always inside receive() unless the engine is behind: only there are pings answered and losses noticed."""
        while not self._ended.done():
            message = await self._socket.receive()
            self._heard_s = self._loop.time()
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                self._lose()
                return
            for request in self._decoded(message.data):
                for portion in portions(request):
                    self._receive(portion)
                    self._pump()
                    await self._turn_of_others(portion)

    async def _turn_of_others(self, portion: Request) -> None:
        """Messages that are already there are read without waiting: a fast client must not hold the loop."""
        n_bytes = len(portion.data) if isinstance(portion, Audio) else 0
        self._unyielded_bytes += max(MESSAGE_BYTES, n_bytes)
        if self._unyielded_bytes >= PORTION_BYTES:
            self._unyielded_bytes = 0
            await asyncio.sleep(0)
        await self._credit.wait()

    async def _write(self) -> None:
        while await self._outbox.wait():
            while (event := self._outbox.pop()) is not None:
                self._writing_since_s = self._loop.time()
                try:
                    await self._send(event)
                except ConnectionError:
                    if self._broadcast is None:  # else the reader finds out, behind what came before
                        self.end(GONE)
                    return
                self._writing_since_s = None

    async def _send(self, event: Event | Reply | Note) -> None:
        frames = [event.frame] if isinstance(event, Reply) else self._dialect.encode(event)
        for frame in frames:
            await self._socket.send(frame)

    def _note_writer(self, writer: asyncio.Task) -> None:
        if not writer.cancelled() and (error := writer.exception()) is not None:
            log.error("session %s failed to write", self._session.session_id, exc_info=error)
            self.fail(error)

    async def _watch(self) -> None:
        """Everything that ends by the clock, and a client that left while nobody read."""
        while True:
            if self._socket.is_lost and self._broadcast is None:
                # The reader may be kept from noticing, for want of credit.
                self.end(GONE)
                return
            now = self._loop.time()
            deadlines = self._deadlines()
            for at, error in deadlines:
                if now >= at:
                    self.wind_down(error)
                    return  # wind_down has its own bound
            if (
                self._writing_since_s is not None
                and not self._lost
                and now - self._writing_since_s >= self._limits.slow_reader_s
            ):
                self.end(Ending.by(SlowReader("The client does not read its captions.")))
                return
            due_s = [at - now for at, _ in deadlines]
            await asyncio.sleep(min(WATCH_INTERVAL_S, self._limits.slow_reader_s, self._rest_in(now), *due_s))

    def _rest_in(self, now: float) -> float:
        """Seconds until a client that sends no audio has to give its slot back, which happens here when they are over.

        One that sends silence is the session's business.
        """
        left_s = self._audio_heard_s + self._limits.release_after_s - now
        if left_s > 0:
            return left_s
        if self._limits.release_after_s and self._credit.is_set():
            self._conversation.rest()
            self._pump()
        return WATCH_INTERVAL_S

    def _deadlines(self) -> list[tuple[float, VoxwireError]]:
        limits, deadlines = self._limits, []
        if limits.max_session_s:
            error = LimitReached(
                f"The connection has lasted {limits.max_session_s:g} s, the longest there is."
            )
            deadlines.append((self._started_s + limits.max_session_s, error))
        if not self._authorized:
            error = Unauthorized(f"No API key came within {KEY_TIMEOUT_S:g} s.")
            deadlines.append((self._started_s + KEY_TIMEOUT_S, error))
        if not self._idle_timeout_s:
            return deadlines
        if self._waiting_since_s is not None:
            error = AtCapacity("No slot came free for this stream.")
            deadlines.append((self._waiting_since_s + limits.idle_timeout_s, error))
        if self._credit.is_set() and not self._client_ended:  # else it is the server who does not listen
            error = self._dialect.idled(self._idle_timeout_s)
            deadlines.append((self._heard_s + self._idle_timeout_s, error))
        return deadlines

    # ------------------------------------------------------------ in

    def _decoded(self, data: Frame) -> Iterator[Request]:
        try:
            yield from self._dialect.decode(data)
        except VoxwireError as error:
            self._tell(error)
            if error.fatal:
                self.end(Ending(error.close_code, error.code))

    def _receive(self, request: Request) -> None:
        if self._farewell is not None or self._ended.done():
            return  # the stream is running out: what still comes in is not heard
        match request:
            case Credentials(key):
                self._admit(key)
            case Reply() | Note():
                if request.error:
                    self._metrics.errors.labels(request.error).inc()
                self._say(request)
            case HangUp(code, reason):
                self.end(Ending(code, reason))
            case _:
                self._obey(request)

    def _admit(self, key: str) -> None:
        """A client gets its slots with its key, and not before."""
        if self._authorized:
            return
        self._authorize(key)
        self._authorized = True
        self._seats.reserve(self._session.options.channels)
        self._conversation.begin()

    def _obey(self, command: Command | Announce | Publish) -> None:
        if not self._authorized:
            raise Unauthorized("An API key is needed before anything else.")
        match command:
            case Announce(name, details):
                self._go_public(name, details)
            case Publish(message):
                if self._broadcast is not None:
                    self._broadcast.publish(message)
            case _:
                self._command(command)

    def _go_public(self, name: str, details: Mapping[str, Any]) -> None:
        if self._broadcast is not None:
            raise OutOfOrder("The stream has a name already.")
        self._broadcast = self._announce(name, details)

    def _command(self, command: Command) -> None:
        if isinstance(command, Audio) and command.data:
            self._count(command)
        elif isinstance(command, End):
            self._client_ended = True
        elif isinstance(command, Configure | Reconfigure):
            self._configure(command)
            return
        self._conversation.receive(command)

    def _configure(self, command: Configure | Reconfigure) -> None:
        """A channel more needs a slot more, like a stream that begins with it: it is there now, or refused now."""
        more = command.options.channels - self._session.options.channels
        if more > 0:
            self._seats.reserve(more)
        self._conversation.receive(command)
        if more > 0:
            self._seats.forfeit()  # of a command that came too late

    def _count(self, audio: Audio) -> None:
        options = self._session.options
        channel_s = len(audio.data) / SAMPLE_BYTES[options.encoding] / options.sample_rate
        self._audio_s += channel_s / options.channels
        self._audio_heard_s = self._loop.time()
        self._metrics.heard(channel_s, 0)
        if self._first_audio_s is None:
            self._first_audio_s = self._loop.time()

    def advance(self, steps: list[Step]) -> None:
        """Steps of the engine, on the loop."""
        self._mind_lag(len(steps))
        self._conversation.advance(steps)
        self._pump()

    def retry(self) -> None:
        """A slot may be free now."""
        try:
            self._conversation.retry()
            self._pump()
        except Exception as error:
            log.exception("session %s failed on its new slot", self._session.session_id)
            self.fail(error)

    # ------------------------------------------------------------ out

    def _pump(self) -> None:
        """Move what the session has to say into the outbox and set the reader's credit."""
        now = self._loop.time()
        for event in self._conversation.events():
            self._clock.note(event, now, self._session.options.gate.hangover_ms / 1000)
            if isinstance(event, Done) and self._farewell is not None:
                continue  # the client did not ask for the end; the error says what happened
            self._say(event)
            if isinstance(event, Error) and event.fatal:
                self.end(Ending(CLOSE_CODES.get(event.code, WSCloseCode.INTERNAL_ERROR), event.code))
        if self._session.finished:
            self.end(self._good_end())
        self._count_frames(now)
        self._set_credit(now)
        self._note_wait(now)

    def _good_end(self) -> Ending:
        if self._farewell is not None:
            return Ending.by(self._farewell)
        return GONE if self._lost else FINISHED

    def _say(self, event: Event | Reply | Note) -> None:
        if self._broadcast is not None and not isinstance(event, Reply | Note):
            self._broadcast.tell(event)
        if self._lost:
            return
        if not self._outbox.put(event):
            self.end(Ending.by(SlowReader("The client does not read its captions.")))

    def _count_frames(self, now: float) -> None:
        fed = self._conversation.take_fed()
        if fed:
            self._metrics.heard(0.0, len(fed))
            due_s = now + max(0.0, self._ahead_s)
            self._due_s.extend(due_s if sounds else NEVER_S for sounds in fed)
        elif not self._session.backlog_frames:
            self._due_s.clear()  # those of a lease that was given back have no step

    def _set_credit(self, now: float) -> None:
        """Beyond `max_ahead_s` of unheard audio the reader stops and TCP slows the sender.

        While a live source waits for a slot it is read on: the session then drops the oldest and tells of the gap.
        Another one can wait: it is stopped early enough that its last portion fits.
        """
        unheard_s = self._session.lag_ms / 1000
        waits_live = self._session.is_waiting and self._ahead_s <= LIVE_S
        if unheard_s <= self._limits.max_ahead_s / 2 or waits_live:
            if not self._credit.is_set():
                self._heard_s = now  # nobody listened meanwhile
            self._credit.set()
        elif self._session.is_waiting or unheard_s >= self._limits.max_ahead_s:
            self._credit.clear()

    def _note_wait(self, now: float) -> None:
        if not self._session.is_waiting:
            self._waiting_since_s = None
        elif self._waiting_since_s is None:
            self._waiting_since_s = now
            message = "All slots are in use; the captions go on when one is free."
            self._say(Warning_("waiting_for_slot", message))

    def _mind_lag(self, n_steps: int) -> None:
        """Observe how late these steps are; report captions that fall behind live audio."""
        lag_s, now = None, self._loop.time()
        for _ in range(min(n_steps, len(self._due_s))):
            due_s = self._due_s.popleft()
            if due_s != NEVER_S:
                lag_s = max(0.0, now - due_s)
                self._metrics.lag_seconds.observe(lag_s)
        if lag_s is None:
            return  # nobody waits for frames of silence: they tell nothing
        limit_s = self._limits.max_lag_s
        if lag_s <= limit_s / 2:
            self._lagging = False
        elif lag_s > limit_s and not self._lagging:
            self._lagging = True
            message = f"The captions are {lag_s:.0f} s behind the audio."
            if self._limits.lag_policy == "close":
                self.wind_down(LimitReached(message))
            else:
                self._say(Warning_("lagging", message))

    @property
    def _ahead_s(self) -> float:
        if self._first_audio_s is None:
            return 0.0
        return self._audio_s - (self._loop.time() - self._first_audio_s)

    def _tell(self, error: VoxwireError) -> None:
        self._metrics.errors.labels(error.code).inc()
        self._say(_as_event(error))


def _as_event(error: VoxwireError) -> Error:
    return Error(error.code, error.message, error.fatal)


def portions(request: Request) -> Iterator[Request]:
    """A long `Audio` in pieces; borders mean nothing to a session."""
    if not isinstance(request, Audio) or len(request.data) <= PORTION_BYTES:
        yield request
        return
    for start in range(0, len(request.data), PORTION_BYTES):
        yield Audio(request.data[start : start + PORTION_BYTES])


def _idle_timeout_s(setting_s: float, vendors_s: float | None) -> float:
    """The dialect's timeout where it has one and there is one at all; 0 never."""
    return setting_s if vendors_s is None or not setting_s else vendors_s
