"""A conversation without sockets, clock and model: dialect + session + an engine that writes a word for every sound.

`Echo` obeys the clock of the model: a sound of six frames, or its end, makes a word ready; a step writes one token, a
marker first; text comes D + 1 steps after the frame. So the tests see true times, and a frame lost or doubled shows.
"""

import json
from collections import deque

import numpy as np

from realtime.dialects.base import Announce, Credentials, Handshake, HangUp, Note, Publish, Reply
from realtime.dialects.native import NativeDialect
from realtime.errors import VoxwireError
from realtime.events import Error, SessionOptions, Step
from realtime.session import Feed, Open, Release, Session, SessionLimits
from tests.text.vocabulary import token_ids

SOUND_FRAMES = 6
LOUD = 0.02
# What the n-th sound of a lease says: words of one piece and of several, with and without punctuation.
SAID = [
    [b" one"],
    [b" two"],
    [b" won", b"der", b"ful"],
    [b" three", b"."],
    [b" hello"],
    [b" world", b"\xc3", b"\xa9"],
]


class Echo:
    """An engine with `slots`; steps wait until `ticks` takes them."""

    def __init__(self, tekken, slots=99):
        self.tekken, self.slots = tekken, slots
        self.leases = {}
        self.next_lease = 1
        self.opened = 0
        self.frames = []  # all frames fed: (lease, frame)

    def open(self, delay_tokens):
        if len(self.leases) >= self.slots:
            return None
        lease, self.next_lease = self.next_lease, self.next_lease + 1
        self.leases[lease] = EchoLease(lease, delay_tokens, self.tekken)
        self.opened += 1
        return lease

    def feed(self, lease, frame):
        assert frame.shape == (1280,) and frame.dtype == np.float32
        self.frames.append((lease, frame))
        self.leases[lease].waiting.append(frame)

    def close(self, lease):
        del self.leases[lease]

    def tick(self):
        """One step for every lease with a frame."""
        return [lease.step() for lease in self.leases.values() if lease.waiting]


class EchoLease:
    def __init__(self, lease, delay, tekken):
        self.lease, self.delay, self.tekken = lease, delay, tekken
        self.ids = token_ids(tekken)
        self.waiting = deque()
        self.position = -1
        self.loud_frames = self.said = 0
        self.ready = deque()  # (step at which a word may be written, its tokens)
        self.writing = deque()

    def step(self):
        self.position += 1
        self.listen(self.waiting.popleft())
        token, logprob = self.write()
        return Step(self.lease, self.position, token, logprob)

    def listen(self, frame):
        loud = float(np.sqrt(np.mean(frame.astype(np.float64) ** 2))) > LOUD
        if self.loud_frames and (not loud or self.loud_frames == SOUND_FRAMES):
            tokens = [self.ids[piece] for piece in SAID[self.said % len(SAID)]]
            # The sound ended with the frame before this one.
            self.ready.append((self.position + self.delay, tokens))
            self.said += 1
            self.loud_frames = 0
        self.loud_frames += loud

    def write(self):
        if not self.writing and self.ready and self.ready[0][0] <= self.position:
            while self.ready and self.ready[0][0] <= self.position:
                self.writing.extend(self.ready.popleft()[1])
            return self.tekken.word_id, -0.01
        if self.writing:
            token = self.writing.popleft()
            # A word is as likely as its first piece: what goes on with it is certain.
            return token, -0.25 if self.tekken.piece(token)[:1].isspace() else 0.0
        return self.tekken.pad_id, -0.01


class Script:
    """An engine whose leases write given tokens, by position; blanks before and after."""

    def __init__(self, tekken, *scripts, slots=99):
        self.tekken, self.slots = tekken, slots
        self.scripts = deque(scripts)
        self.leases, self.next_lease, self.opened = {}, 1, 0
        self.frames = []

    feed, close, tick = Echo.feed, Echo.close, Echo.tick

    def open(self, delay_tokens):
        lease, self.next_lease = self.next_lease, self.next_lease + 1
        self.leases[lease] = ScriptLease(lease, self.tekken, self.scripts.popleft() if self.scripts else {})
        self.opened += 1
        return lease


class ScriptLease:
    def __init__(self, lease, tekken, script):
        self.lease, self.tekken, self.script = lease, tekken, script
        self.ids = token_ids(tekken) | {"P": tekken.pad_id, "W": tekken.word_id, "EOS": 2}
        self.waiting = deque()
        self.position = -1

    def step(self):
        self.waiting.popleft()
        self.position += 1
        piece = self.script.get(self.position, "P")
        token = self.ids[piece if piece in self.ids else piece.encode()]
        return Step(self.lease, self.position, token, -0.1)


class Stage:
    """One client. `send` gives a message to the dialect and lets the engine finish; `told` is what the client got."""

    def __init__(
        self,
        engine,
        query=None,
        limits=None,
        defaults=None,
        batch=1,
        lazy=False,
        dialect=None,
        headers=None,
    ):
        """`batch` steps reach the session at once. A `lazy` engine works only when `run` is called."""
        self.engine, self.batch, self.lazy = engine, batch, lazy
        self.dialect = dialect or NativeDialect()
        pairs = query.items() if isinstance(query, dict) else map(tuple, query or ())
        handshake = Handshake(tuple(pairs), headers or {})
        options = self.dialect.open(handshake, defaults or SessionOptions())
        self.keys = []  # presented within messages
        self.announced = False
        self.session = Session(
            options, engine.tekken, session_id="s1", model="echo", limits=limits or SessionLimits()
        )
        self.streams = {}  # channel → lease
        self.told = []
        self.settle()

    def send(self, *messages):
        """bytes, str or a dict for JSON text; returns what the client is told in answer."""
        seen = len(self.told)
        for message in messages:
            text = json.dumps(message) if isinstance(message, dict) else message
            try:
                for request in self.dialect.decode(text):
                    self.receive(request)
            except VoxwireError as error:
                self.say(Error(error.code, error.message, error.fatal))
            self.settle()
        return self.told[seen:]

    def receive(self, request):
        match request:
            case Reply(frame):
                self.tell([frame])
            case Note():
                self.tell(self.dialect.encode(request))
            case Credentials(key):
                self.keys.append(key)
            case HangUp(code, reason):
                self.told.append({"hang_up": [code, reason]})
            case Announce(name, details):
                self.announced = True
                self.told.append({"announce": name, **details})
            case Publish(message):
                self.told.append({"publish": dict(message)})
            case _:
                self.session.receive(request)
                self.carry_out()

    def tell(self, frames):
        self.told += map(readable, frames)

    def settle(self):
        self.carry_out()
        if not self.lazy:
            self.run()

    def run(self, ticks=None):
        """Let the engine work: all that waits, or a number of ticks."""
        seen = len(self.told)
        pending = []
        while ticks != 0 and (steps := self.engine.tick()):
            pending += steps
            ticks = None if ticks is None else ticks - 1
            if len(pending) >= self.batch:
                self.advance(pending)
                pending = []
        self.advance(pending)
        return self.told[seen:]

    def advance(self, steps):
        self.session.advance(steps)
        self.carry_out()

    def carry_out(self):
        while effects := self.session.effects():
            for effect in effects:
                self.obey(effect)
        for event in self.session.events():
            self.say(event)

    def say(self, event):
        """To the client, and to subscribers where there are any."""
        self.tell(self.dialect.encode(event))
        if self.announced:
            self.told += [{"publish": json.loads(frame)} for frame in NativeDialect().encode(event)]

    def obey(self, effect):
        match effect:
            case Open(channel, delay_tokens):
                lease = self.engine.open(delay_tokens)
                if lease is None:
                    self.session.refused(channel)
                else:
                    self.streams[channel] = lease
                    self.session.opened(channel, lease)
            case Feed(channel, frame):
                self.engine.feed(self.streams[channel], frame)
            case Release(channel):
                if channel in self.streams:
                    self.engine.close(self.streams.pop(channel))

    def of(self, kind, channel=None):
        """The messages of one type, of one channel if given."""
        return [
            m for m in self.told if m["type"] == kind and (channel is None or m.get("channel") == channel)
        ]

    @property
    def text(self):
        return " ".join(final["text"] for final in self.of("final"))


def readable(frame):
    """A frame as a golden conversation shows it: JSON as it is, other text as text, bytes in hexadecimal."""
    if isinstance(frame, bytes):
        return {"bytes": frame.hex()}
    try:
        return json.loads(frame)
    except ValueError:
        return {"text": frame}


def voice(ms, pitch_hz=120):
    """Something that the VAD takes for a voice: float32 at 16 kHz."""
    t = np.arange(ms * 16) / 16000
    pitch = pitch_hz * (1 + 0.05 * np.sin(2 * np.pi * 3 * t))
    phase = 2 * np.pi * np.cumsum(pitch) / 16000
    formants = [k for k in range(1, 30) if 400 < k * pitch_hz < 900 or 1200 < k * pitch_hz < 2400]
    sound = sum(np.sin(k * phase) / k * (1.0 if k in formants else 0.3) for k in range(1, 30))
    return (0.15 * sound * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))).astype(np.float32)


def silence(ms):
    return np.zeros(ms * 16, np.float32)


def s16(*parts):
    """float32 → bytes of pcm_s16le."""
    return (np.concatenate(parts) * 32767).astype("<i2").tobytes()
