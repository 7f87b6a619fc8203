"""One source from start to end: stream it, show the captions, write the files, end on Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.text import Text

from client import transcript
from client.conversation import Backoff, Conversation, Happening
from client.errors import EXIT_INTERRUPTED, EXIT_OK, ClientError
from client.files import FileSource
from client.microphone import Capture, Microphone
from client.pacing import NoPace, Pacer
from client.protocol import Done, Final, Options, Ready
from client.render import Screen, clock, meter, progress, seconds
from client.source import Source
from client.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Job:
    """Where to stream to, where the result goes, and how long to wait for a server that went away.

    Finals are kept only if somebody wants them afterwards: a microphone may run for weeks.
    """

    url: str
    key: str | None = None
    options: Options = field(default_factory=Options)
    outputs: tuple[Path, ...] = ()
    patience_s: float = 60.0
    keep: bool = False  # finals in the outcome, even without outputs


@dataclass(frozen=True, slots=True)
class Outcome:
    transcript: Transcript
    interrupted: bool

    @property
    def exit_code(self) -> int:
        return EXIT_INTERRUPTED if self.interrupted else EXIT_OK


async def caption_microphone(capture: Capture, job: Job) -> Outcome:
    """Caption the microphone until Ctrl-C. Raises ClientError; what was heard until then is written."""
    microphone = Microphone(capture, job.options.channels)
    microphone.start()
    heading = f"{capture.device.name}, {_format(microphone)}"
    conversation = _conversation(microphone, job, live=True)
    screen = Screen(lambda: _microphone_status(microphone), channels=microphone.channels)
    try:
        return await _caption(conversation, job, heading, screen)
    finally:
        microphone.stop()
        if losses := _losses(microphone):
            screen.notice(f"Not captioned: {losses}.", "yellow")


async def caption_file(path: Path, job: Job, *, fast: bool = False) -> Outcome:
    """Caption a recording. Raises ClientError; what was heard until then is written."""
    source = FileSource(path, channels=job.options.channels, pacer=NoPace() if fast else Pacer())
    heading = f"{path.name}, {clock(source.duration_ms)}, {_format(source)}"
    conversation = _conversation(source, job, live=not fast)

    def status() -> Text:
        # Fast, everything is sent long before it is heard.
        done_ms = conversation.heard_ms if fast else source.position_ms
        return progress(done_ms, source.duration_ms)

    try:
        return await _caption(conversation, job, heading, Screen(status, channels=source.channels))
    finally:
        source.close()


def _conversation(source: Source, job: Job, *, live: bool) -> Conversation:
    backoff = Backoff(patience_s=job.patience_s)
    return Conversation(source, job.url, job.options, job.key, live=live, backoff=backoff)


async def _caption(conversation: Conversation, job: Job, heading: str, screen: Screen) -> Outcome:
    result = Transcript(channels=conversation.source.channels)
    try:
        with screen, _ending_on_signals(conversation, screen) as signals:
            async with aclosing(conversation.happenings()) as happenings:
                async for happening in happenings:
                    if isinstance(happening, Ready) and not result.model:
                        screen.notice(f"{heading} → {happening.model}, delay {happening.delay_ms} ms")
                    _collect(result, happening, job)
                    screen.show(happening)
    except ClientError:
        if conversation.connected or not signals:
            raise  # else the user got tired of waiting: that is no fault
    finally:
        if result.model:
            _write(result, job.outputs, screen)
    return Outcome(result, interrupted=bool(signals))


def _collect(result: Transcript, happening: Happening, job: Job) -> None:
    match happening:
        case Ready():
            result.model = happening.model
        case Final() if job.keep or job.outputs:
            result.add(happening)
        case Done():
            result.audio_ms = happening.audio_ms


def _write(result: Transcript, outputs: tuple[Path, ...], screen: Screen) -> None:
    for path in outputs:
        transcript.write(result, path)
        screen.notice(f"Wrote {path}")


def _format(source: Source) -> str:
    return f"{source.sample_rate / 1000:g} kHz {'mono' if source.channels == 1 else 'two channels'}"


def _microphone_status(microphone: Microphone) -> Text:
    line = Text.assemble(
        ("● ", "red"),
        (f"{clock(microphone.position_ms)} ", "dim"),
        meter(microphone.level_dbfs),
        ("  Ctrl-C ends", "dim"),
    )
    if not microphone.ever_heard and microphone.position_ms > 3000:
        line.append("  nothing but zeros: muted, or no permission?", style="bold yellow")
    if losses := _losses(microphone):
        line.append(f"  {losses}", style="bold red")
    return line


def _losses(microphone: Microphone) -> str:
    losses = [f"{seconds(microphone.dropped_ms)} dropped"] if microphone.dropped_ms else []
    if microphone.overflows:
        losses.append(f"{microphone.overflows} overflows in the sound system")
    return ", ".join(losses)


@contextmanager
def _ending_on_signals(conversation: Conversation, screen: Screen) -> Iterator[list[int]]:
    """The first Ctrl-C ends the stream in order, the second at once. Yields the list of signals seen."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    seen: list[int] = []

    def on_signal(number: int) -> None:
        seen.append(number)
        if len(seen) == 1:
            if conversation.connected:
                screen.notice("Ending: waiting for the last words. Ctrl-C again ends at once.")
            conversation.stop()
        else:
            task.cancel()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        try:
            loop.add_signal_handler(number, on_signal, number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda n, _: loop.call_soon_threadsafe(on_signal, n))
    try:
        yield seen
    finally:
        for number in numbers:
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, before[number])
