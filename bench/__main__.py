"""python -m bench NAME [options]: one measurement, one table on stdout; progress goes to stderr."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.report import BenchError, Report
from realtime.errors import VoxwireError

BENCHES = {
    "latency": "how late partials and finals of one stream are",
    "capacity": "how many streams paced in real time one server carries",
    "peer": "the same checkpoint in the streaming class of transformers, beside our engine",
    "wer": "word error rate by group, through a real server",
    "talk": "whether a stream is heard as well after ten minutes as at its beginning",
    "confidence": "how far word confidences can be believed, and the calibration of a checkpoint",
    "ingress": "CPU that a message costs the event loop, without a model",
    "memory": "resident memory over hours of one stream and over thousands of sessions",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status. A run that could not be made is one line and status 2."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = next((word for word in arguments if not word.startswith("-")), None)
    top = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    verbs = top.add_subparsers(dest="name", required=True, metavar="|".join(BENCHES))
    for known, words in BENCHES.items():
        verb = verbs.add_parser(known, help=words, formatter_class=argparse.RawDescriptionHelpFormatter)
        if known == name:  # only this one's imports
            bench = importlib.import_module(f"bench.{known}")
            verb.description = bench.__doc__
            bench.add_arguments(verb)
            verb.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
            verb.set_defaults(run=bench.run)
    options = top.parse_args(arguments)
    try:
        report: Report = options.run(options)
    except (BenchError, VoxwireError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(report.markdown(), flush=True)
    if options.json:
        options.json.write_text(report.json(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
