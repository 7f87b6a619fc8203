"""voxwire serve | transcribe: wires the parts together and does no work itself."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from realtime import config as configuration
from realtime.config import BUNDLED_MODEL, Config
from realtime.errors import VoxwireError

EXIT_USAGE = 2
FORMATS = ("txt", "srt", "vtt", "json")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status. What the user got wrong is one line and status 2."""
    arguments = parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except VoxwireError as error:
        print(f"voxwire: {error.message}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="voxwire", description="Live captions from Voxtral Realtime models.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="serve|transcribe")
    serve = verbs.add_parser(
        "serve",
        usage="voxwire serve [--config FILE] [settings]",
        help="serve live captions on one port",
        description="Serve live captions: the page, the WebSocket /v1/stream, health and metrics on one port.",
        epilog="Every setting is also a TOML key and a variable VOXWIRE_<NAME>: flags > variables > file > defaults.",
        formatter_class=_help_formatter,
    )
    configuration.add_flags(serve)
    serve.set_defaults(run=_serve)
    files = verbs.add_parser(
        "transcribe",
        usage="voxwire transcribe FILE... [--format txt|srt|vtt|json] [--output FOLDER] [settings]",
        help="transcribe audio files, as fast as the machine allows",
        description="Transcribe audio and video of any format through the same engine and session as a stream.",
        formatter_class=_help_formatter,
    )
    files.add_argument("files", nargs="+", type=Path, metavar="FILE")
    files.add_argument("--format", choices=FORMATS, default="txt", help="of the transcript (default: txt)")
    files.add_argument(
        "--output", type=Path, metavar="FOLDER", help="write FOLDER/<name>.<format>; default: stdout"
    )
    files.add_argument(
        "--channels", type=int, choices=(1, 2), default=1, help="2 transcribes each (default: 1, mixed)"
    )
    configuration.add_flags(files, ("engine", "session", "log"))
    files.set_defaults(run=_transcribe)
    return top


def _help_formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.HelpFormatter(prog, max_help_position=34)


def _serve(arguments: argparse.Namespace) -> int:
    # Torch takes seconds to import; a wrong flag or a taken port should not.
    from realtime.server import app, logs

    config = configuration.load(vars(arguments), os.environ)
    logs.set_up(config.log)
    listener, tcp_listeners = app.bind(config.server.host, config.server.port), app.bind_tcp(config)
    engine = _load(config)

    async def run() -> int:
        server = app.Server(config, engine, listener, tcp_listeners)
        server.heed_signals()
        await server.start()
        _keep_what_is_there()
        tcp_ports = {name: port.port for name, port in server.tcp_ports.items()}
        print(_welcome(config, engine, server.port, tcp_ports), flush=True)
        return await server.run()

    return _run_loop(run())


def _keep_what_is_there() -> None:
    """Take the libraries and the model out of garbage collection, for good.

    Beside their 300,000 objects thousands of sessions' rings would wait for a full collection, and that would hold up
    the event loop and the tick. Without them it comes soon and is short.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # of nothing: the next one comes when a quarter of what the last one left has been added


def _run_loop(main) -> int:
    try:
        import uvloop
    except ImportError:  # it does not exist for Windows
        return asyncio.run(main)
    return uvloop.run(main)


def _transcribe(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    from realtime.server import logs, offline
    from realtime.session import SessionLimits
    from realtime.text import subtitles

    config = configuration.load(vars(arguments), os.environ)
    logs.set_up(config.log)
    _check_outputs(arguments)
    files = [offline.AudioFile(path, arguments.channels) for path in arguments.files]
    engine = _load(config)
    options = replace(config.session.options(engine.tekken.delay_ms), channels=arguments.channels)
    limits = SessionLimits(release_after_ms=round(config.limits.release_after_s * 1000))
    for done in offline.transcribe(engine, files, options, limits):
        text = subtitles.render(done.finals, arguments.format)
        if arguments.output:
            (arguments.output / f"{done.path.stem}.{arguments.format}").write_text(text, encoding="utf-8")
        else:
            heading = f"# {done.path}\n" if len(arguments.files) > 1 else ""
            print(heading + text, end="", flush=True)
    return 0


def _check_outputs(arguments: argparse.Namespace) -> None:
    """Find out before the work, not after it."""
    if arguments.output:
        try:
            arguments.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VoxwireError(f"--output {arguments.output}: {error.strerror}") from None
        stems = [path.stem for path in arguments.files]
        if twice := {stem for stem in stems if stems.count(stem) > 1}:
            raise VoxwireError(f"--output: two files are called {sorted(twice)[0]}")
    elif len(arguments.files) > 1 and arguments.format != "txt":
        raise VoxwireError(f"several files as {arguments.format} need --output FOLDER")


def _load(config: Config):
    from realtime.engine import load_engine

    engine = config.engine
    return load_engine(
        engine.model,
        device=engine.device,
        dtype=engine.dtype,
        slots=engine.slots,
        threads=engine.threads,
        decoder_window=engine.decoder_window,
        blank_penalty=engine.blank_penalty,
        progress=lambda words: print(f"voxwire: {words}", file=sys.stderr, flush=True),
    )


def _welcome(config: Config, engine, port: int, tcp_ports: Mapping[str, int]) -> str:
    """What is served, what to open, how to try it."""
    from realtime.engine import describe_capacity
    from realtime.server.auth import is_loopback

    host = config.server.host
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}"
    default = (shown, port) == ("127.0.0.1", 8000)
    to_url = "" if default else f" --url {url}"
    model = f"{engine.model_name} (bundled)" if config.engine.model == BUNDLED_MODEL else engine.model_name
    if Path("Makefile").exists():
        demo = "make demo" if default else f"make demo URL={url}"
    else:
        demo = f"{_python()} -m client.demo{to_url}"
    lines = [
        "",
        f"  voxwire serves {model} on {engine.device_name}",
        f"  slots: {describe_capacity(engine)}",
        "",
        f"  open        {url}",
        f"  demo        {demo}",
        f"  microphone  {_python()} -m client mic{to_url}",
        f"  file        {_python()} -m client file talk.wav{to_url}",
        *(f"  {name:<11} tcp://{shown}:{number}" for name, number in tcp_ports.items()),
        "  stop        Ctrl-C",
        "",
    ]
    if config.auth.api_keys:
        lines.insert(
            -1, "  A key is asked for: set VOXWIRE_KEY for the commands, or enter it in the page's settings."
        )
    elif not is_loopback(host):
        lines.insert(-1, "  Anybody who reaches this address may use it: set api_keys.")
    return "\n".join(lines)


def _python() -> str:
    """The interpreter that has our packages, as one would type it here."""
    executable = Path(sys.executable)
    here = Path.cwd()
    return str(executable.relative_to(here)) if executable.is_relative_to(here) else str(executable)


if __name__ == "__main__":
    sys.exit(main())
