"""Whether a stream is heard as well after ten minutes as at its beginning.

One minute of recordings, in random order with pauses between them, is said --minutes times over in one stream, sent as
fast as the server takes it. Every row is one of these times: the words that the server dated into it, scored as by
`bench wer`. `other words` is how many of them are not as in the first, so that anything that drifts shows, whatever the
recordings are: a minute is a whole number of frames long, so that its speech falls on the same places of the clock.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from bench import load, server, speech, streaming
from bench.report import BenchError, Report
from bench.server import Server
from bench.speech import NOISE_RMS, RATE_HZ, Row
from bench.streaming import Streaming
from bench.wer import score
from client.protocol import Options, Word
from realtime.events import FRAME_MS

ROUND_S = 60.0
PAUSE_S = 1.0  # longer than the gate's hangover
FRAME_SAMPLES = FRAME_MS * RATE_HZ // 1000
SEED = 0
COLUMNS = ("minute", "words", "WER %", "sub", "del", "ins", "other words")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--delay-ms", type=int, metavar="MS", help="default: the checkpoint's")
    streaming.add_arguments(parser)


def run(options: argparse.Namespace) -> Report:
    if options.minutes < 1:
        raise BenchError("--minutes: at least 1")
    place, rows = streaming.recordings(options)
    minute, text = one_minute([row for row in rows if row.group != speech.NOT_ENGLISH])
    with tempfile.TemporaryDirectory(prefix="voxwire-talk-") as folder:
        talk = Path(folder) / "talk.wav"
        soundfile.write(talk, np.tile(minute, options.minutes), RATE_HZ, subtype="PCM_16")
        with Server(server.flags(options)) as served:
            asked = Options(delay_ms=options.delay_ms, vad=options.vad == "on", interim=False)
            [heard] = load.run_loop(Streaming(served.url, asked, 1).all([Row(talk, "talk", (text,))]))
            model = served.ready()["model"]
    report = table(text, by_round(heard.words[0], len(minute) / RATE_HZ, options.minutes))
    report.setting = {"model": model, "recordings": place.name, "vad": options.vad}
    return report


def one_minute(rows: Sequence[Row]) -> tuple[np.ndarray, str]:
    """int16 [n] at 16 kHz of random clips of one channel, with a pause behind each, and what they say.

    Clips in which nothing is said are left out. Raises BenchError if there is no clip.
    """
    rows = [row for row in rows if len(row.texts) == 1 and row.texts[0]]
    random.Random(SEED).shuffle(rows)
    r = np.random.default_rng(SEED)
    pause = (r.standard_normal(int(PAUSE_S * RATE_HZ)) * NOISE_RMS * 32768).astype(np.int16)
    parts, texts, samples = [], [], 0
    for row in rows:
        audio, rate = speech.read(row.path)
        clip = speech.at_16k(audio[:, 0], rate)
        if samples + len(clip) > ROUND_S * RATE_HZ:
            continue
        parts += [clip, pause]
        texts.append(row.texts[0])
        samples += len(clip) + len(pause)
    if not parts:
        raise BenchError(f"no clip of one channel and less than {ROUND_S:g} s in which something is said")
    parts.append(np.zeros(-samples % FRAME_SAMPLES, np.int16))
    return np.concatenate(parts), " ".join(texts)


def by_round(words: Sequence[Word], round_s: float, rounds: int) -> list[str]:
    """The text of each round, by where the middle of every word lies."""
    texts: list[list[str]] = [[] for _ in range(rounds)]
    for word in words:
        middle_s = (word.start_ms + word.end_ms) / 2000
        texts[min(rounds - 1, int(middle_s / round_s))].append(word.text.strip())
    return [" ".join(each) for each in texts]


def table(said: str, heard: Sequence[str]) -> Report:
    rows = []
    for number, text in enumerate(heard, 1):
        found = score("talk", said, text)
        kinds = (found.substitutions, found.deletions, found.insertions)
        rows.append(
            [
                number,
                found.words,
                100 * found.errors / found.words,
                *kinds,
                score("talk", heard[0], text).errors,
            ]
        )
    return Report("A long talk, minute by minute", COLUMNS, rows)
