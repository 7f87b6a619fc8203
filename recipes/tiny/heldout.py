"""The "unseen synthetic voices": clips of the domains in voices that are kept out of training."""

import json
import random
from pathlib import Path

import soundfile

from recipes.tiny import corpus, texts
from recipes.tiny.synth import Cast, resampled

GROUPS = ("digits", "phone", "numbers", "commands", "phrases", "spell")
ENGINES = {"flite": 0.5, "espeak": 0.3, "festival": 0.2}


def make(folder: Path, clips_per_group: int = 25, seed: int = 0) -> int:
    """Writes FLAC files and manifest.jsonl (path, text, group, voice, seconds); returns the number of clips."""
    r = random.Random(seed)
    cast, rows = Cast(r, held_out=True), []
    folder.mkdir(parents=True, exist_ok=True)
    for group in GROUPS:
        (folder / group).mkdir(exist_ok=True)
        made = 0
        while made < clips_per_group:
            engine = r.choices(list(ENGINES), list(ENGINES.values()))[0]
            text = texts.sample(r, {group: 1.0})[1]
            [(voice, speech)] = cast.say(engine, [(group, text)])
            audio = resampled(speech, 1.0) if speech else None
            if audio is None:
                continue
            path = f"{group}/{made:03d}_{voice.replace('+', '_')}.flac"
            soundfile.write(folder / path, audio, corpus.RATE, subtype="PCM_16")
            seconds = round(len(audio) / corpus.RATE, 3)
            rows.append(
                {"path": path, "text": text.lower(), "group": group, "voice": voice, "seconds": seconds}
            )
            made += 1
    (folder / "manifest.jsonl").write_text("".join(json.dumps(x) + "\n" for x in rows))
    return len(rows)
