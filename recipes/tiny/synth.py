"""Texts -> a corpus of synthetic speech with word times, one process a core."""

import multiprocessing
import random
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import soxr

from recipes.tiny import corpus, espeak, festival, flite, neural, texts
from recipes.tiny.speech import Speech

HELD_OUT = {"flite-rms", "festival-ked", "en-us+f5", "en+m8"}
ENGINES = {"espeak": 5.0, "flite": 4.0, "festival": 0.7}
TOGETHER = {"festival": festival.BATCH, "hibari": neural.BATCH, "kokoro": neural.BATCH}
"""So many utterances an engine says with one voice, others one."""
SPEAK_FOREIGN = {"espeak", "festival", "hibari", "kokoro"}
FOREIGN = "foreign"
"""The domain of speech of which nothing is to be written; espeak-ng and festival have voices for it."""
STRETCH = (0.75, 1.35)
MAX_SECONDS = 20
PART_HOURS = 0.25
Utterance = tuple[str, str]
"""(domain, text)"""


class Cast:
    """The voices of one process: says each text with a voice and a manner drawn at random."""

    def __init__(self, r: random.Random, held_out: bool, kokoro: Path | None = None):
        self.r, self.held_out, self._kokoro = r, held_out, kokoro
        self.espeak, self.flite = espeak.Espeak(), flite.Flite()
        self.festival_voices = [v for v in festival.VOICES if (v in HELD_OUT) == held_out]
        self.flite_voices = [v for v in flite.VOICES if (f"flite-{v}" in HELD_OUT) == held_out]

    def say(self, engine: str, batch: list[Utterance]) -> Iterator[tuple[str, Speech | None]]:
        """(voice, speech) of each utterance of the batch."""
        if engine in ("hibari", "kokoro"):
            yield from self._neural(engine, batch)
            return
        speakable = espeak.speakable if engine == "espeak" else cmu_speakable
        if batch[0][0] == FOREIGN:
            yield from self._foreign(engine, len(batch))
            return
        spoken = [[speakable(w) for w in text.split()] for _, text in batch]
        if engine == "festival":
            voice = self.r.choice(self.festival_voices)
            manners = [(words, self._festival_manner()) for words in spoken]
            yield from ((voice, speech) for speech in festival.speak(manners, voice))
        else:
            one = {"espeak": self._espeak, "flite": self._flite}[engine]
            yield from (one(words) for words in spoken)

    def _espeak(self, words: list[str]) -> tuple[str, Speech | None]:
        r = self.r
        while True:
            variant = r.choice(espeak.VARIANTS)
            voice = r.choice(espeak.ACCENTS) + ("+" + variant if variant else "")
            if self.held_out:
                voice = r.choice([v for v in sorted(HELD_OUT) if v.startswith("en")])
            if (voice in HELD_OUT) == self.held_out:
                break
        speed, pitch, span = r.uniform(110, 220), r.uniform(20, 80), r.uniform(20, 80)
        gap = r.choice([0, 0, 0, r.randint(1, 12)])
        return voice, self.espeak.speak(words, voice, speed, pitch, span, gap)

    def _foreign(self, engine: str, count: int) -> Iterator[tuple[str, Speech | None]]:
        if engine == "espeak":
            yield from (self._espeak_foreign() for _ in range(count))
            return
        language = self.r.choice(sorted(festival.FOREIGN_VOICES))
        said = [texts.foreign(self.r, language=language.partition("-")[0]) for _ in range(count)]
        yield from ((f"festival-{language}", speech) for speech in festival.nonsense(said, language))

    def _espeak_foreign(self) -> tuple[str, Speech | None]:
        r = self.r
        script, language = espeak.foreign_language(r)
        variant = r.choice(espeak.VARIANTS)
        voice = language + ("+" + variant if variant else "")
        manner = r.uniform(120, 220), r.uniform(20, 80), r.uniform(20, 80)
        return voice, self.espeak.nonsense(texts.foreign(r, script, language), voice, *manner)

    @cached_property
    def phonemes(self) -> neural.Phonemes:
        return neural.Phonemes()

    @cached_property
    def hibari(self) -> neural.Hibari:
        return neural.Hibari()

    @cached_property
    def kokoro(self) -> neural.Kokoro:
        if self._kokoro is None:
            raise ValueError("Kokoro needs the folder of its voices: --kokoro")
        return neural.Kokoro(self._kokoro)

    def _neural(self, engine: str, batch: list[Utterance]) -> Iterator[tuple[str, Speech | None]]:
        r, foreign = self.r, batch[0][0] == FOREIGN
        speaker = self.hibari if engine == "hibari" else self.kokoro
        voice = speaker.voice(r, foreign)
        for _, text in batch:
            if foreign:
                script, language = espeak.foreign_language(r)
                ids = self.phonemes.foreign(self.espeak, texts.foreign(r, script, language), language)
            else:
                ids = self.phonemes.english(text.split(), r.choice("...,?!"), voice["british"])
            wave = speaker.speak(ids, voice, r.uniform(*neural.PACE), r) if ids else None
            yield voice["name"], None if wave is None else neural.spoken(wave, foreign)

    def _flite(self, words: list[str]) -> tuple[str, Speech | None]:
        voice = self.r.choice(self.flite_voices)
        stretch = self.r.uniform(*STRETCH)
        shift = 1.0 if self.held_out else self.r.uniform(0.7, 1.4)
        pitch_hz = self.r.uniform(80, 160) if voice == "kal16" else None
        return f"flite-{voice}", self.flite.speak(words, voice, stretch, pitch_hz, shift)

    def _festival_manner(self) -> festival.Manner:
        stretch = self.r.uniform(*STRETCH)
        if self.held_out:
            return stretch, None
        return stretch, (self.r.uniform(80, 170), self.r.uniform(8, 30))


def cmu_speakable(word: str) -> str:
    """What espeak.speakable is, for flite and festival and the dictionary they share."""
    return "ay" if word == "A" else word.lower()


def resampled(speech: Speech, factor: float) -> np.ndarray | None:
    """int16 [samples] at 16 kHz, `factor` times faster and higher; None if silent or over MAX_SECONDS."""
    audio = soxr.resample(speech.audio.astype(np.float32), speech.rate * factor, corpus.RATE, quality="MQ")
    return corpus.to_peak(audio) if len(audio) <= MAX_SECONDS * corpus.RATE else None


def add(out: corpus.Writer, utterance: Utterance, voice: str, speech: Speech | None, factor: float) -> None:
    """Writes one utterance with its times; what the synthesiser could not say is left out."""
    audio = resampled(speech, factor) if speech else None
    if audio is None:
        return
    domain, text = utterance
    label = [] if domain == FOREIGN else text.lower().split()
    if speech.word_ends_s is None:
        times = {"spoken": text}  # align.py tells letters from words by it
    else:
        ends = (round(e / factor, 3) for e in speech.word_ends_s)
        times = {"words": list(map(list, zip(label, ends, strict=True)))}
    if speech.phones:
        times["phones"] = [[n, round(t / factor, 3)] for n, t in speech.phones]
    out.add(audio, text=" ".join(label), voice=voice, domain=domain, **times)


def _part(job: tuple) -> Path:
    """Synthesises one part, in a process of its own."""
    folder, seed, seconds, engines, mix, pool, held_out, kokoro = job
    r = random.Random(seed)
    cast, out = Cast(r, held_out, kokoro), corpus.Writer(folder)
    # a batch is as long as so many single utterances
    odds = [w / TOGETHER.get(engine, 1) for engine, w in engines.items()]
    while out.samples < seconds * corpus.RATE:
        engine = r.choices(list(engines), odds)[0]
        batch = [texts.sample(r, mix, pool) for _ in range(TOGETHER.get(engine, 1))]
        for utterance, (voice, speech) in zip(batch, cast.say(engine, batch), strict=True):
            # resampling: another vocal tract, pitch and speed
            factor = 1.0 if held_out else r.choice([1.0, r.uniform(0.88, 1.14)])
            add(out, utterance, voice, speech, factor)
    out.close()
    return folder


def synthesise(
    folder: Path,
    hours: float,
    mix: dict[str, float],
    pool: list[str] = (),
    engines: dict[str, float] = ENGINES,
    held_out: bool = False,
    workers: int = 2,
    seed: int = 0,
    kokoro: Path | None = None,
) -> None:
    """Fills `folder` with about `hours` of speech; parts are made by `workers` processes, the same for any number.

    Raises ValueError if foreign speech is mixed with other domains, or with an engine that has no voices for it.
    """
    if FOREIGN in mix and (set(mix) != {FOREIGN} or not set(engines) <= SPEAK_FOREIGN):
        raise ValueError(f"foreign speech is a corpus of its own, by {', '.join(sorted(SPEAK_FOREIGN))}")
    parts = max(1, round(hours / PART_HOURS))
    jobs = [
        (
            folder / f"part{i:04d}",
            seed * 10000 + i,
            hours * 3600 / parts,
            engines,
            mix,
            pool,
            held_out,
            kokoro,
        )
        for i in range(parts)
    ]
    # a fresh process per part: the synthesisers' libraries leak
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=1) as pool_:
        for n, part in enumerate(pool_.imap_unordered(_part, jobs), 1):
            print(f"{folder.name}: {n} of {parts} parts, {part.name} done", flush=True)
    corpus.merge([job[0] for job in jobs], folder)
