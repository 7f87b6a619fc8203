"""One channel of a conversation: samples in, frames for the engine and events out. No clock, no I/O.

What the gate passes waits in a queue, in order with what is to be done behind it: drain the delay and close
the utterance, or take a fresh lease after a long silence. Without a lease the queue stands still; `pump`
moves it on.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from realtime.audio.framer import FRAME_SAMPLES, Framer
from realtime.audio.gate import Closed, GateEvent, Opened, Passed, gate
from realtime.events import (
    FRAME_MS,
    Event,
    FinalReason,
    Gap,
    GateOptions,
    SessionOptions,
    SpeechStarted,
    SpeechStopped,
    Step,
)
from realtime.text.captions import Captions
from realtime.text.confidence import Calibration
from realtime.text.tokenizer import Tekken
from realtime.timeline import Timeline

SAMPLES_PER_MS = 16
# Silent frames that bring all text out: the delay, the frame being heard, and the longest word being written.
DRAIN_FRAMES = 1 + 10
SLACK_FRAMES = 3  # how much later than the gate thinks the speech may have ended
SETTLED_PADS = 2
DROP_SAMPLES = 1000 * SAMPLES_PER_MS
RETRY_SAMPLES = 160 * SAMPLES_PER_MS


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What the operator decides about every session."""

    release_after_ms: int = 10_000  # silence after which the lease is given back; 0 never
    max_wait_ms: int = 30_000  # audio kept while no slot is free; the oldest beyond it is dropped
    no_text_frames: int = 200  # speech without text before the client is warned
    max_flushes: int = 100  # flushes that may wait for their finals, and changes of options


@dataclass(frozen=True, slots=True)
class Open:
    """Ask the engine for a lease. Answer with `Session.opened` or `Session.refused`, in the order of asking."""

    channel: int
    delay_tokens: int


@dataclass(frozen=True, slots=True)
class Feed:
    """The next frame of the channel's lease: float32 [1280]."""

    channel: int
    frame: np.ndarray


@dataclass(frozen=True, slots=True)
class Release:
    """Close the lease that the last Open gave; nothing to do if that one was refused."""

    channel: int


Effect = Open | Feed | Release


@dataclass(frozen=True, slots=True)
class _Drain:
    """Bring out the text of everything before, then close the utterance."""

    reason: FinalReason
    at_ms: int  # when that was asked for


@dataclass(slots=True)
class _Mark:
    """A drain under way. Its text may be complete before the last silent frame: see `_is_settled`."""

    last: int  # position of the last silent frame
    due: (
        int | None
    )  # from this position on, pads mean that nothing is owed any more; None: wait for the last frame
    drain: _Drain
    told: bool = False  # its final is out: the last frame closes only what was written late


@dataclass(frozen=True, slots=True)
class _Fresh:
    """What follows begins on a fresh lease: the silence before was long."""


@dataclass(frozen=True, slots=True)
class _Change:
    """What follows begins on a fresh lease with these options; nothing is owed of what came before."""

    options: SessionOptions


@dataclass(frozen=True, slots=True)
class _Forget:
    """What follows begins on a fresh lease; what the old one heard since its last drain is not said."""


class Channel:
    """Appends to `events` and `effects`, which all channels of a session share."""

    def __init__(
        self,
        index: int,
        options: SessionOptions,
        tekken: Tekken,
        calibration: Calibration,
        limits: SessionLimits,
        events: list[Event],
        effects: list[Effect],
    ):
        self.index = index
        self.lease: int | None = None
        self.ended = False  # the final of `end` has been decided
        self.is_asking = False  # an Open has no answer yet
        self.is_refused = False  # the last Open was refused; `retry` asks again
        self.speech_samples = 0
        self._limits = limits
        self._events, self._effects = events, effects
        self._delay_tokens = options.delay_ms // FRAME_MS
        self._release_samples = limits.release_after_ms * SAMPLES_PER_MS

        self._set_gate(options.gate, 0)
        self._opened_at = self._closed_at = 0  # samples of the stream, of the last speech
        self._queue: deque[Passed | _Drain | _Fresh | _Change | _Forget] = deque()
        self._waiting_samples = 0  # audio in the queue
        self._retry_at = 0  # samples heard when a refused lease is asked for again

        self._framer = Framer()
        self._timeline = Timeline()
        self._captions = Captions(
            index, options, tekken, calibration, self._timeline, limits.no_text_frames, events
        )
        self._undrained = False  # audio was fed since the last drain
        self._stepped = 0  # frames of this lease whose step has arrived
        self._marks: deque[_Mark] = deque()
        self._fed_until = 0  # sample of the stream behind the last that was fed

    # ------------------------------------------------------------ what the session asks for

    def ask(self) -> None:
        """Ask for a lease unless there is one, or an answer is still to come."""
        if self.lease is None and not self.is_asking and not self.is_refused:
            self._effects.append(Open(self.index, self._delay_tokens))
            self.is_asking = True

    def hear(self, samples: np.ndarray) -> None:
        """float32 [n] at 16 kHz, the next of the stream."""
        for event in self._gate.push(samples):
            self._take(event, "silence")
        if self.is_refused and self._gate.heard_samples >= self._retry_at:
            self.retry()
        self._pump()
        self._drop_excess()
        self._rest_if_silent()

    def close(self, reason: FinalReason) -> None:
        """Flush or end: a final for everything heard so far."""
        at_ms = self._gate.heard_samples // SAMPLES_PER_MS
        closed = self._gate.flush()
        for event in closed:
            self._take(event, reason)
        if not closed:
            self._queue.append(_Drain(reason, at_ms))
        self._pump()

    def configure(self, options: SessionOptions) -> None:
        """Close the utterance as a silence does, and go on with other options."""
        for event in self._gate.flush():
            self._take(event, "silence")
        held = self._gate.hand_over()
        self._set_gate(options.gate, held.start_sample)
        self._queue.append(_Change(options))
        self.hear(held.samples)

    def forget(self, unheard: np.ndarray) -> None:
        """Drop what was heard since the last close, and `unheard`, float32 [n], the next of the stream."""
        self._gate.push(unheard)
        self._gate.forget()
        self._closed_at = self._gate.heard_samples
        while self._queue and isinstance(self._queue[-1], Passed):
            self._waiting_samples -= len(self._queue.pop().samples)
        if not self._queue or not isinstance(self._queue[-1], _Forget):
            self._queue.append(_Forget())
        self._pump()

    def retry(self) -> None:
        """Ask again for a lease that was refused."""
        if self.is_refused:
            self.is_refused = False
            self.ask()

    def give_up(self) -> None:
        """Drop what waits for a lease that was refused, and go on as if it had not been said."""
        if self.is_refused:
            self._drop(self._waiting_samples)
            self._pump()

    def release(self) -> None:
        """Give the lease back, or the one being asked for. Steps that still come for it mean nothing."""
        if self.lease is not None or self.is_asking:
            self._effects.append(Release(self.index))
            self.lease, self.is_asking = None, False

    def rest(self) -> None:
        """Give the lease back if nothing is under way on it."""
        if self.lease is not None and not self._gate.is_open and not self._queue and self._is_idle:
            self.release()

    # ------------------------------------------------------------ what the engine answers

    def opened(self, lease: int) -> None:
        """The Open was granted."""
        self.lease, self.is_asking = lease, False
        self._begin_lease()
        self._pump()

    def refused(self) -> None:
        """The Open was refused; audio waits until `retry` or until enough new audio has come."""
        self.is_refused, self.is_asking = True, False
        self._retry_at = self._gate.heard_samples + RETRY_SAMPLES
        self._drop_excess()

    def step(self, step: Step) -> None:
        """One token of this channel's lease."""
        n = step.position
        self._stepped = n + 1
        self._captions.read(n, step.token, step.logprob, draining=self._is_draining(n))
        if self._is_settled(n):
            self._marks[0].due, self._marks[0].told = None, True
            self._conclude(self._marks[0].drain)
        while self._marks and self._marks[0].last <= n:
            mark = self._marks.popleft()
            self._conclude(mark.drain, only_text=mark.told)
        self._pump()
        self._rest_if_silent()

    @property
    def backlog_frames(self) -> int:
        """Frames fed whose step has not arrived."""
        return 0 if self.lease is None else self._framer.frames - self._stepped

    @property
    def lag_ms(self) -> int:
        """Audio for the model that it has not heard."""
        return self.backlog_frames * FRAME_MS + self._waiting_samples // SAMPLES_PER_MS

    @property
    def waiting_flushes(self) -> int:
        waiting = [mark.drain for mark in self._marks]
        waiting += [item for item in self._queue if isinstance(item, _Drain)]
        return sum(drain.reason == "flush" for drain in waiting)

    @property
    def waiting_changes(self) -> int:
        return sum(isinstance(item, _Change) for item in self._queue)

    @property
    def utterances(self) -> int:
        """Finals with text."""
        return self._captions.finals_with_text

    # ------------------------------------------------------------ gate → queue

    def _set_gate(self, options: GateOptions, start_sample: int) -> None:
        self._gate = gate(options, start_sample)
        self._gated = options.enabled
        # The gate may date an onset back by this much.
        self._onset_samples = (2 * options.onset_ms + 100) * SAMPLES_PER_MS

    def _take(self, event: GateEvent, reason: FinalReason) -> None:
        match event:
            case Opened(at_sample):
                if self._release_samples and at_sample - self._closed_at >= self._release_samples:
                    self._queue.append(_Fresh())
                self._opened_at = at_sample
                if self._gated:
                    self._events.append(SpeechStarted(at_sample // SAMPLES_PER_MS, self.index))
            case Passed():
                self._enqueue(event)
            case Closed(at_sample):
                self.speech_samples += at_sample - self._opened_at
                self._closed_at = at_sample
                if self._gated:
                    self._events.append(SpeechStopped(at_sample // SAMPLES_PER_MS, self.index))
                self._queue.append(_Drain(reason, at_sample // SAMPLES_PER_MS))

    def _enqueue(self, audio: Passed) -> None:
        self._waiting_samples += len(audio.samples)
        last = self._queue[-1] if self._queue else None
        if isinstance(last, Passed) and len(last.samples) < FRAME_SAMPLES:
            # Crumbs that wait for a lease would take more memory than their samples.
            audio = Passed(last.start_sample, np.concatenate((last.samples, audio.samples)))
            self._queue.pop()
        self._queue.append(audio)

    # ------------------------------------------------------------ queue → engine

    def _pump(self) -> None:
        """Do what can be done of the queue, in order."""
        while self._queue:
            item = self._queue[0]
            if isinstance(item, _Fresh):
                if self.lease is not None and self._framer.frames:
                    if not self._is_idle:
                        return  # the old lease still owes text
                    self.release()
            elif isinstance(item, _Change | _Forget):
                if not self._is_at_border(item):
                    return
                self._start_anew(item)
            elif isinstance(item, _Drain) and not self._undrained:
                self._mark(item)
            elif self.lease is None:
                self.ask()
                return
            elif isinstance(item, _Drain):
                self._drain(item)
            else:
                self._feed(item)
            self._queue.popleft()

    def _is_at_border(self, item: _Change | _Forget) -> bool:
        """Whether the old lease owes nothing any more, and no answer about a lease is on its way."""
        owes = self._marks if isinstance(item, _Forget) else not self._is_idle
        return not owes and not self.is_asking

    def _start_anew(self, item: _Change | _Forget) -> None:
        if isinstance(item, _Forget) and not self._undrained:
            return  # nothing was heard since
        holds_lease = self.lease is not None
        self.release()
        self._undrained = False
        self._captions.forget()
        if isinstance(item, _Change):
            self._delay_tokens = item.options.delay_ms // FRAME_MS
            self._captions.configure(item.options)
        if holds_lease:
            self.ask()  # now, so that the first words do not wait

    def _feed(self, audio: Passed) -> None:
        self._waiting_samples -= len(audio.samples)
        self._timeline.add(audio.start_sample, len(audio.samples))
        self._fed_until = audio.start_sample + len(audio.samples)
        self._undrained = True
        self._emit(self._framer.push(audio.samples))

    def _drain(self, drain: _Drain) -> None:
        before_samples = self._framer.lease_samples
        self._emit(self._framer.pad())
        due = self._due(drain) if drain.reason == "silence" else None
        self._emit(self._framer.silence(self._delay_tokens + DRAIN_FRAMES))
        self._timeline.add_silence(self._framer.lease_samples - before_samples)
        self._undrained = False
        self._mark(drain, due)

    def _due(self, drain: _Drain) -> int:
        """Position at which a word that ended with the speech has begun to be written, with some slack for its end."""
        frames_since_speech = (self._fed_until - drain.at_ms * SAMPLES_PER_MS) // FRAME_SAMPLES
        last_spoken = self._framer.frames - 1 - max(0, frames_since_speech - SLACK_FRAMES)
        return last_spoken + self._delay_tokens + 1

    def _is_settled(self, n: int) -> bool:
        """Whether the utterance can be closed before the last silent frame: every word is due, and the model, which
        writes without a break what it owes, writes nothing. Should text come after all, the last frame closes it."""
        mark = self._marks[0] if self._marks else None
        return (
            mark is not None and mark.due is not None and n > mark.due and self._captions.pads >= SETTLED_PADS
        )

    def _mark(self, drain: _Drain, due: int | None = None) -> None:
        """Conclude when the step of the last frame fed so far has arrived, which may be now."""
        if self._is_idle:
            self._conclude(drain)
        else:
            self._marks.append(_Mark(self._framer.frames - 1, due, drain))

    def _conclude(self, drain: _Drain, only_text: bool = False) -> None:
        self._captions.conclude(drain.reason, drain.at_ms, only_text=only_text)
        if drain.reason == "end":
            self.ended = True

    def _emit(self, frames: list[np.ndarray]) -> None:
        self._effects.extend(Feed(self.index, frame) for frame in frames)

    # ------------------------------------------------------------ lease

    def _begin_lease(self) -> None:
        self._framer = Framer()
        self._timeline.reset()
        self._captions.begin_lease()
        self._stepped = 0
        self._undrained = False

    @property
    def _is_idle(self) -> bool:
        """Whether nothing is under way in the engine."""
        return not self._marks and not self.backlog_frames

    def _is_draining(self, n: int) -> bool:
        """Whether frame `n` is one of silence that brings text out: nobody paused there."""
        return bool(self._marks) and n > self._marks[0].last - self._delay_tokens - DRAIN_FRAMES

    def _rest_if_silent(self) -> None:
        if self._release_samples:
            silent_samples = self._gate.heard_samples - self._closed_at
            if silent_samples >= self._release_samples + self._onset_samples:
                self.rest()

    def _drop_excess(self) -> None:
        excess = self._waiting_samples - self._limits.max_wait_ms * SAMPLES_PER_MS
        if self.is_refused and excess > 0:
            # More than needed at once: one Gap a second instead of one a message.
            self._drop(max(excess, min(DROP_SAMPLES, self._waiting_samples)))
            self._pump()

    def _drop(self, n_samples: int) -> None:
        """Drop the oldest `n_samples` of the queue, and tell which they were."""
        kept: list[_Drain | _Fresh | _Change | _Forget] = []
        while n_samples > 0:
            item = self._queue.popleft()
            if not isinstance(item, Passed):
                kept.append(item)
                continue
            cut = min(n_samples, len(item.samples))
            if cut < len(item.samples):
                self._queue.appendleft(Passed(item.start_sample + cut, item.samples[cut:]))
            self._tell_gap(item.start_sample, item.start_sample + cut)
            self._waiting_samples -= cut
            n_samples -= cut
        self._queue.extendleft(reversed(kept))

    def _tell_gap(self, start_sample: int, end_sample: int) -> None:
        from_ms, to_ms = start_sample // SAMPLES_PER_MS, end_sample // SAMPLES_PER_MS
        last = self._events[-1] if self._events else None
        if isinstance(last, Gap) and (last.channel, last.to_ms) == (self.index, from_ms):
            self._events[-1] = Gap(last.from_ms, to_ms, "no_slot", self.index)
        else:
            self._events.append(Gap(from_ms, to_ms, "no_slot", self.index))
