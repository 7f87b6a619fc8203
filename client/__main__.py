"""`python -m client mic | file | devices`: wires the parts, does no work itself."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from client import errors, protocol, transcript
from client.captions import Job, caption_file, caption_microphone
from client.errors import BadInput, ClientError
from client.files import FileSource
from client.microphone import choose_device, input_devices, plan_capture
from client.protocol import Options
from client.transcript import FORMATS

EPILOG = """\
exit codes:
  0  all was captioned        3    no server at the address
  1  the stream broke off     4    the API key is missing or wrong
  2  bad arguments, file,     5    the server stayed busy
     device or output path    130  interrupted with Ctrl-C
"""
PATIENCE_LIVE_S = 300.0
PATIENCE_FILE_S = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        return args.run(args)
    except ClientError as error:
        print(f"voxwire-client: {error.advice()}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, asyncio.CancelledError):
        return errors.EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away; keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return errors.EXIT_LOST


# ---------------------------------------------------------------- arguments


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m client",
        description="Live captions in the terminal, from a microphone or a recording.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(metavar="mic | file | devices", required=True)

    mic = verbs.add_parser("mic", help="caption the microphone until Ctrl-C", **_help_format())
    mic.add_argument("--device", metavar="D", help="number or part of the name, see `devices`")
    _stream_arguments(mic)
    mic.set_defaults(run=run_mic)

    file = verbs.add_parser("file", help="caption recordings", **_help_format())
    file.add_argument("path", nargs="+", type=Path, metavar="PATH", help="wav, flac, ogg, mp3, ...")
    file.add_argument(
        "--fast", action="store_true", help="as fast as the server reads, not at the spoken pace"
    )
    file.add_argument(
        "--write",
        type=_formats,
        default=[],
        metavar="F,F",
        help="write these beside each recording: txt,srt,vtt,json",
    )
    _stream_arguments(file)
    file.set_defaults(run=run_file)

    devices = verbs.add_parser("devices", help="list the microphones")
    devices.set_defaults(run=run_devices)
    return top


def _help_format() -> dict:
    return {"epilog": EPILOG, "formatter_class": argparse.RawDescriptionHelpFormatter}


def _stream_arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--url",
        type=_url,
        default=os.environ.get("VOXWIRE_URL", protocol.DEFAULT_URL),
        help="the server (default %(default)s; or VOXWIRE_URL)",
    )
    verb.add_argument(
        "--key",
        default=os.environ.get("VOXWIRE_KEY"),
        help="API key (better: VOXWIRE_KEY)",
    )
    verb.add_argument("--channels", type=int, choices=(1, 2), default=1, help="2: caption each channel")
    verb.add_argument("--delay-ms", type=_delay_ms, metavar="MS", help="80..1200 in steps of 80, or 2400")
    verb.add_argument("--vad", choices=("on", "off"), help="off: the model hears silence too")
    verb.add_argument("--hangover-ms", type=int, metavar="MS", help="pause that ends an utterance")
    verb.add_argument("--no-interim", action="store_true", help="finals only")
    verb.add_argument(
        "--output",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="write .txt, .srt, .vtt or .json; may be repeated, replaces what is there",
    )


def _url(text: str) -> str:
    try:
        return protocol.base_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _delay_ms(text: str) -> int:
    if not text.isdecimal() or int(text) not in (*range(80, 1201, 80), 2400):
        raise argparse.ArgumentTypeError(f"{text!r} is not 80..1200 in steps of 80, or 2400")
    return int(text)


def _formats(text: str) -> list[str]:
    names = [name.strip().lstrip(".") for name in text.split(",")]
    for name in names:
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(FORMATS)}")
    return names


def _options(args: argparse.Namespace) -> Options:
    return Options(
        channels=args.channels,
        delay_ms=args.delay_ms,
        vad=None if args.vad is None else args.vad == "on",
        hangover_ms=args.hangover_ms,
        interim=False if args.no_interim else None,
    )


# ---------------------------------------------------------------- verbs


def run_devices(args: argparse.Namespace) -> int:
    devices = input_devices()
    choose_device(devices, None)  # says what to do when there is none
    for device in devices:
        mark = "*" if device.is_default else " "
        noun = "channel" if device.channels == 1 else "channels"
        print(
            f"{mark} {device.index:>3}  {device.name}  "
            f"({device.host_api}, {device.channels} {noun}, {device.default_rate_hz} Hz)"
        )
    if any(device.is_default for device in devices):
        print("* is the default; another: python -m client mic --device NUMBER_OR_NAME")
    return errors.EXIT_OK


def run_mic(args: argparse.Namespace) -> int:
    transcript.check_outputs(args.output)
    capture = plan_capture(choose_device(input_devices(), args.device), args.channels)
    job = Job(args.url, args.key, _options(args), tuple(args.output), PATIENCE_LIVE_S)
    asyncio.run(caption_microphone(capture, job))
    return errors.EXIT_OK  # Ctrl-C is how a microphone ends


def run_file(args: argparse.Namespace) -> int:
    if args.output and len(args.path) > 1:
        raise BadInput("--output takes one recording; for several use --write, which writes beside each.")
    outputs = {path: _targets(path, args) for path in args.path}
    for path, targets in outputs.items():
        FileSource(path, channels=args.channels).close()
        _check_targets(path, targets)
    _check_distinct([target for targets in outputs.values() for target in targets])
    for path, targets in outputs.items():
        job = Job(args.url, args.key, _options(args), tuple(targets), PATIENCE_FILE_S)
        outcome = asyncio.run(caption_file(path, job, fast=args.fast))
        if outcome.interrupted:
            break
    return outcome.exit_code


def _targets(path: Path, args: argparse.Namespace) -> list[Path]:
    return [*args.output, *(path.with_suffix(f".{name}") for name in args.write)]


def _check_targets(path: Path, targets: list[Path]) -> None:
    transcript.check_outputs(targets)
    if any(target.resolve() == path.resolve() for target in targets):
        raise BadInput(f"{path} would be overwritten by its own transcript.")


def _check_distinct(targets: list[Path]) -> None:
    for n, target in enumerate(targets):
        if target in targets[:n]:
            raise BadInput(f"{target} would be written twice: for two recordings, or named twice.")


if __name__ == "__main__":
    sys.exit(main())
