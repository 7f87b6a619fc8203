"""ONE conversation, sans-I/O: commands and steps in, events and effects out. Time comes from samples; no
clock inside.

    receive(command)  ─►  decode ─► resample ─► Channel (gate, queue, framer)  ─►  effects()   for the engine
    advance(steps)    ─►  Channel (words, transcript)                          ─►  events()    for the dialect

One owner calls it from one thread, and takes effects and events after every call.
"""

from __future__ import annotations

from collections.abc import Iterable

from realtime.audio.codecs import MAX_CHANNELS, decoder
from realtime.audio.resample import resampler
from realtime.channel import Channel, Effect, Feed, Open, Release, SessionLimits
from realtime.errors import BadAudio, LimitReached, OutOfOrder, VoxwireError
from realtime.events import (
    Audio,
    Clear,
    Command,
    Configure,
    Done,
    End,
    Error,
    Event,
    FinalReason,
    Flush,
    KeepAlive,
    Ready,
    Reconfigure,
    SessionOptions,
    Step,
)
from realtime.text.confidence import IDENTITY, Calibration
from realtime.text.tokenizer import Tekken

__all__ = ["Effect", "Feed", "Open", "Release", "Session", "SessionLimits"]


class Session:
    """Asks for a lease per channel at once, so that the first words do not wait for one.

    Raises BadOption for options that no decoder exists for; a dialect has refused these before.
    """

    def __init__(
        self,
        options: SessionOptions,
        tekken: Tekken,
        *,
        session_id: str,
        model: str,
        limits: SessionLimits | None = None,
        calibration: Calibration = IDENTITY,
    ):
        self.session_id = session_id
        self.model = model
        self.finished = False  # Done was emitted
        self.failure: VoxwireError | None = None  # the fatal error that was emitted
        self._tekken, self._calibration = tekken, calibration
        self._limits = limits or SessionLimits()
        self._events: list[Event] = []
        self._effects: list[Effect] = []
        self._channels: list[Channel] = []
        # Per channel: Opens released by `configure` before their answer.
        self._stale_asks = [0] * MAX_CHANNELS
        self._earlier_audio_ms = 0  # per channel, at other rates than now
        self._audio_samples = 0  # per channel, at the client's rate
        self._started = False  # audio or a flush came: no more `configure`
        self._ending = False
        self._told_after_end = False  # audio after `end` is told once, not with every message
        self._configure(options)

    # ------------------------------------------------------------ in

    def receive(self, command: Command) -> None:
        """One command of the client. Its faults become Error events."""
        if self.finished or self.failure:
            return
        try:
            self._do(command)
        except VoxwireError as error:
            self.fail(error)

    def fail(self, error: VoxwireError) -> None:
        """Tell the client. After a fatal error nothing is accepted any more."""
        self._events.append(Error(error.code, error.message, error.fatal))
        if error.fatal:
            self.failure = error

    def opened(self, channel: int, lease: int) -> None:
        """The oldest unanswered Open of `channel` was granted."""
        if self._is_current(channel):
            self._channels[channel].opened(lease)
            self._finish_if_ended()

    def refused(self, channel: int) -> None:
        """The oldest unanswered Open of `channel` was refused. It is asked for again with new audio, or by
        `retry`.
        """
        if self._is_current(channel):
            self._channels[channel].refused()
            self._finish_if_ended()

    def retry(self) -> None:
        """Ask again for refused leases. For the owner when a slot became free: after `end` no audio will do
        it.
        """
        if not self.finished:
            for channel in self._channels:
                channel.retry()

    def give_up(self) -> None:
        """Stop waiting for refused leases: what waited becomes a Gap, and an ending session ends."""
        for channel in self._channels:
            channel.give_up()
        self._finish_if_ended()

    def rest(self) -> None:
        """Give back leases on which nothing is under way. For the owner when no audio has come for long."""
        for channel in self._channels:
            channel.rest()

    def advance(self, steps: Iterable[Step]) -> None:
        """Tokens of the engine, in order per lease. Those of leases given back are ignored."""
        for step in steps:
            for channel in self._channels:
                if channel.lease == step.lease:
                    channel.step(step)
                    break
        self._finish_if_ended()

    # ------------------------------------------------------------ out

    def effects(self) -> list[Effect]:
        """What the engine is to do, in order, since the last call."""
        effects = self._effects[:]
        self._effects.clear()
        return effects

    def events(self) -> list[Event]:
        """What the client is to be told, in order, since the last call."""
        events = self._events[:]
        self._events.clear()
        return events

    @property
    def is_waiting(self) -> bool:
        """Whether a lease was refused and not granted since."""
        return any(channel.is_refused for channel in self._channels)

    @property
    def backlog_frames(self) -> int:
        """Frames fed whose step has not arrived, of the slowest channel."""
        return max(channel.backlog_frames for channel in self._channels)

    @property
    def lag_ms(self) -> int:
        """Audio for the model that it has not heard, of the slowest channel: waiting for a lease or for a
        step.
        """
        return max(channel.lag_ms for channel in self._channels)

    # ------------------------------------------------------------ commands

    def _do(self, command: Command) -> None:
        match command:
            case Audio(data):
                self._hear(data)
            case Configure(options):
                if self._started:
                    raise OutOfOrder("'configure' must come before the first audio.")
                self._configure(options)
            case Reconfigure(options):
                self._reconfigure(options)
            case Flush():
                self._flush()
            case Clear():
                self._clear()
            case End():
                self._end()
            case KeepAlive():
                pass

    def _configure(self, options: SessionOptions) -> None:
        decode = decoder(options.encoding, options.channels)
        for channel in self._channels:
            self._stale_asks[channel.index] += channel.is_asking
            channel.release()
        self.options = options
        self._decoder = decode
        self._resamplers = [resampler(options.sample_rate) for _ in range(options.channels)]
        self._channels = [self._channel(index) for index in range(options.channels)]
        self._tell_ready()
        for channel in self._channels:
            channel.ask()

    def _tell_ready(self) -> None:
        options = self.options
        self._events.append(Ready(self.session_id, self.model, options.sample_rate, options.delay_ms))

    def _reconfigure(self, options: SessionOptions) -> None:
        if self._ending:
            raise OutOfOrder("The options cannot change after 'end'.")
        if options != self.options:
            if not self._started:
                self._configure(options)
                return
            if options.channels != self.options.channels:
                raise OutOfOrder("The number of channels cannot change within a stream.")
            if any(channel.waiting_changes >= self._limits.max_flushes for channel in self._channels):
                raise LimitReached("Too many changes of options wait for what was said before them.")
            self._switch(options)
        self._tell_ready()

    def _switch(self, options: SessionOptions) -> None:
        decode = decoder(options.encoding, options.channels)
        for channel, resampler_ in zip(self._channels, self._resamplers, strict=True):
            channel.hear(resampler_.flush())
            channel.configure(options)
        if (options.encoding, options.sample_rate) != (self.options.encoding, self.options.sample_rate):
            self._earlier_audio_ms = self._audio_ms
            self._audio_samples = 0
            self._decoder = decode
            self._resamplers = [resampler(options.sample_rate) for _ in range(options.channels)]
        self.options = options

    def _is_current(self, channel: int) -> bool:
        """Whether an answer is to an Open that still counts. Answers come in the order of asking."""
        if self._stale_asks[channel]:
            self._stale_asks[channel] -= 1
            return False
        return True

    def _channel(self, index: int) -> Channel:
        return Channel(
            index,
            self.options,
            self._tekken,
            self._calibration,
            self._limits,
            self._events,
            self._effects,
        )

    def _hear(self, data: bytes) -> None:
        if self._ending:
            if not self._told_after_end:
                self._told_after_end = True
                raise OutOfOrder("Audio after 'end' is ignored.")
            return
        if not data:
            return
        self._started = True
        samples = self._decoder.push(data)
        self._audio_samples += samples.shape[1]
        for channel, resampler_, row in zip(self._channels, self._resamplers, samples, strict=True):
            channel.hear(resampler_.push(row))

    def _flush(self) -> None:
        if self._ending:
            raise OutOfOrder("'flush' after 'end' is ignored.")
        if any(channel.waiting_flushes >= self._limits.max_flushes for channel in self._channels):
            raise LimitReached("Too many flushes wait for their finals.")
        self._started = True
        self._close_channels("flush")

    def _clear(self) -> None:
        if self._ending:
            raise OutOfOrder("'clear' after 'end' is ignored.")
        self._decoder = decoder(self.options.encoding, self.options.channels)  # without half a sample
        for channel, resampler_ in zip(self._channels, self._resamplers, strict=True):
            channel.forget(resampler_.flush())

    def _end(self) -> None:
        if self._ending:
            raise OutOfOrder("A second 'end' is ignored.")
        self._ending = self._started = True
        try:
            self._decoder.flush()
        except BadAudio as error:
            self.fail(error)
        self._close_channels("end")
        self._finish_if_ended()

    def _close_channels(self, reason: FinalReason) -> None:
        for channel, resampler_ in zip(self._channels, self._resamplers, strict=True):
            channel.hear(resampler_.flush())
            channel.close(reason)

    @property
    def _audio_ms(self) -> int:
        return self._earlier_audio_ms + self._audio_samples * 1000 // self.options.sample_rate

    def _finish_if_ended(self) -> None:
        if self.finished or not self._ending or not all(channel.ended for channel in self._channels):
            return
        for channel in self._channels:
            channel.release()
        speech_samples = sum(channel.speech_samples for channel in self._channels)
        utterances = sum(channel.utterances for channel in self._channels)
        self._events.append(Done(self._audio_ms, speech_samples // 16, utterances))
        self.finished = True
