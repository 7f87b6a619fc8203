"""festival in batches, because its start costs a second; word ends from its Word relation."""

import subprocess
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import soundfile

from recipes.tiny.speech import Speech

VOICES = {
    "festival-kal": "kal_diphone",
    "festival-ked": "ked_diphone",
    "festival-slt": "cmu_us_slt_arctic_hts",
}
FOREIGN_VOICES = {
    "ca": "upc_ca_ona_hts",
    "cs": "czech_ph",
    "cs-dita": "czech_dita",
    "cs-machac": "czech_machac",
    "fi": "hy_fi_mv_diphone",
    "fi-lj": "suo_fi_lj_diphone",
    "it": "lp_diphone",
}
"""Voices of other languages that read latin script, by language."""
BATCH = 30
TIMEOUT_S = 120


Manner = tuple[float, tuple[float, float] | None]
"""Stretch, and mean and spread of the pitch in Hz if not the voice's own; the diphone voices alone follow them."""


def speak(batch: list[tuple[list[str], Manner]], voice: str) -> Iterator[Speech | None]:
    """The words and manner of each utterance -> its speech, None where festival made other words of it."""
    with tempfile.TemporaryDirectory() as folder:
        _run(folder, VOICES[voice], batch)
        for i, (words, _) in enumerate(batch):
            yield _read(Path(folder, f"{i}.wav"), Path(folder, f"{i}.words"), len(words))


def nonsense(batch: list[str], language: str) -> Iterator[Speech | None]:
    """Texts of which nothing is to be understood -> speech without words; None where festival could not."""
    with tempfile.TemporaryDirectory() as folder:
        _run(folder, FOREIGN_VOICES[language], [(_plain(text).split(), (1.0, None)) for text in batch])
        for i in range(len(batch)):
            wave = Path(folder, f"{i}.wav")
            yield Speech(*soundfile.read(wave, dtype="int16"), [], None) if wave.exists() else None


def _plain(text: str) -> str:
    """Without accents: some of the voices give up the whole batch at one."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _run(folder: str, voice: str, batch: list[tuple[list[str], Manner]]) -> None:
    """Leaves a .wav and a .words of each utterance in the folder."""
    script = Path(folder, "run.scm")
    script.write_text(f"(voice_{voice})\n" + "".join(_commands(folder, *x) for x in enumerate(batch)))
    subprocess.run(["festival", "-b", script], capture_output=True, timeout=TIMEOUT_S, check=False)


def _commands(folder: str, i: int, utterance: tuple[list[str], Manner]) -> str:
    words, (stretch, pitch) = utterance
    return (_pitch(*pitch) if pitch else "") + (
        f"(Parameter.set 'Duration_Stretch {stretch})\n"
        f'(set! u (SynthText "{" ".join(words)}"))\n'
        f'(utt.save.wave u "{folder}/{i}.wav" \'riff)\n'
        f'(utt.save.words u "{folder}/{i}.words")\n'
    )


def _pitch(mean_hz: float, spread_hz: float) -> str:
    target = f"(target_f0_mean {mean_hz}) (target_f0_std {spread_hz})"
    return f"(set! int_lr_params '({target} (model_f0_mean 170) (model_f0_std 34)))\n"


def _read(wave: Path, labels: Path, count: int) -> Speech | None:
    if not labels.exists() or not wave.exists():
        return None
    rows = [line.split() for line in labels.read_text().splitlines()]
    ends = [float(r[0]) for r in rows if len(r) == 3 and r[2] not in ("_", "pau")]
    if len(ends) != count:
        return None
    audio, rate = soundfile.read(wave, dtype="int16")
    return Speech(audio, rate, ends, None)
