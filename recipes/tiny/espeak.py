"""espeak-ng in process: speech with the time of every phone, and the phones of a word."""

import ctypes as C
import functools
import random

import numpy as np

from recipes.tiny.speech import Speech
from recipes.tiny.spell import words

ACCENTS = [
    *["en-us"] * 6,
    *["en"] * 3,  # British
    *["en-us-nyc", "en-gb-x-rp", "en-gb-scotland", "en-029", "en-gb-x-gbclan"],
]
VARIANTS = [
    "",
    *words(
        "m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 klatt klatt2 klatt3 klatt4 klatt6 Alex Alicia Andrea Andy Annie "
        "Denis Diogo Gene Henrique Hugo Lee Marco Mario Michael Mike Nguyen adam anika aunty belinda benjamin "
        "boris caleb david ed edward grandma grandpa gustave iven john linda marcelo max michel miguel norbert "
        "pablo paul pedro quincy rob robert sandro shelby steph travis victor zac croak whisper"
    ),
]
# By the script they are written in; espeak-ng would read any other with an English voice.
FOREIGN = {
    "latin": words("de fr es it pt pt-br nl sv da nb pl cs sk hr ro hu fi et lv lt tr id ms sw eu ca cy vi"),
    "greek": ["el"],
    "cyrillic": words("ru uk bg sr"),
    "devanagari": words("hi mr ne"),
    "arabic": words("ar fa"),
    "kana": ["ja"],
    "hangul": ["ko"],
    "pinyin": ["cmn-latn-pinyin"],
}
PAUSE = "_"
# Names that differ in spelling more than in sound; the rest keep espeak's own.
SAME_PHONE = {
    "_:": "_",
    "I2": "I",
    "I#": "I",
    "@2": "@",
    "a#": "@",
    "aI2": "aI",
    "i": "i:",
    "t#": "t",
    "t2": "t",
    "t[": "t",
    "r-": "r",
    "aa": "a",
    "0": "A:",
    "O": "O:",
    "O2": "O:",
    "3": "3:",
    ";": "j",
    "aI3": "aI@",
    "@-": "@",
    "n-": "n",
    "?": "t",
}

_PHONEME_EVENTS = 1 << 15 | 1
_UTF8, _IPA = 1, 2
_RATE_EVENT, _PHONEME_EVENT = 8, 7
_SPEED, _PITCH, _RANGE, _WORD_GAP = 1, 3, 4, 7


class _Event(C.Structure):
    class Id(C.Union):
        _fields_ = (("number", C.c_int), ("name", C.c_char_p), ("string", C.c_char * 8))

    _fields_ = (
        ("type", C.c_int),
        ("uid", C.c_uint),
        ("text_position", C.c_int),
        ("length", C.c_int),
        ("audio_position", C.c_int),
        ("sample", C.c_int),
        ("user", C.c_void_p),
        ("id", Id),
    )


@functools.cache
def _library() -> tuple[C.CDLL, int]:
    """The library and its usual rate; a second initialisation in one process would hang."""
    library = C.CDLL("libespeak-ng.so.1")
    return library, library.espeak_Initialize(1, 0, None, _PHONEME_EVENTS)


class Espeak:
    """Not for two threads at once: the library keeps global state. Raises OSError where it is not installed."""

    def __init__(self):
        self._lib, self._default_rate = _library()
        kind = C.CFUNCTYPE(C.c_int, C.POINTER(C.c_short), C.c_int, C.POINTER(_Event))
        self._callback = kind(self._receive)
        self._pronounced: dict[str, list[str] | None] = {}

    def _receive(self, wave, samples, events) -> int:
        if wave and samples:
            self._audio.append(np.ctypeslib.as_array(wave, (samples,)).copy())
        i = 0
        while events[i].type:
            event = events[i]
            if event.type == _RATE_EVENT:
                self._rate = event.id.number
            if event.type == _PHONEME_EVENT:
                name = event.id.string.decode("utf8", "replace")
                self._phones.append((SAME_PHONE.get(name, name), event.sample, event.text_position))
            i += 1
        return 0

    def speak(self, words: list[str], voice: str, speed=170, pitch=50, span=50, gap=0) -> Speech | None:
        """Words in lower case -> speech; None where the voice does not exist or words and phones do not fit."""
        self._synthesise(" ".join(words), voice, speed, pitch, span, gap)
        phones = self._timed_phones()
        ends = word_ends(words, phones) if phones else None
        if ends is None or not self._audio:
            return None
        return Speech(np.concatenate(self._audio), self._rate, ends, [(n, t) for n, t, _ in phones])

    def nonsense(self, text: str, voice: str, speed=170, pitch=50, span=50) -> Speech | None:
        """Text of which nothing is to be understood -> speech without words or phones; None as above."""
        self._synthesise(text, voice, speed, pitch, span, 0)
        return Speech(np.concatenate(self._audio), self._rate, [], None) if self._audio else None

    def _synthesise(self, text: str, voice: str, speed, pitch, span, gap) -> None:
        """Leaves audio and phone events behind; none where the voice does not exist."""
        self._audio, self._phones, self._rate = [], [], self._default_rate
        self._lib.espeak_SetSynthCallback(self._callback)
        if self._lib.espeak_SetVoiceByName(voice.encode()):
            return
        for parameter, value in ((_SPEED, speed), (_PITCH, pitch), (_RANGE, span), (_WORD_GAP, gap)):
            self._lib.espeak_SetParameter(parameter, int(value), 0)
        data = text.encode()
        self._lib.espeak_Synth(data, len(data) + 1, 0, 0, 0, 1, None, None)
        self._lib.espeak_Synchronize()

    def _timed_phones(self) -> list[tuple[str, float, int]]:
        """(name, start_s, text position of its word group); events without a position belong to the last."""
        out, group = [], 0
        for name, sample, position in self._phones:
            group = position or group
            out.append((name, sample / self._rate, group))
        return out

    def ipa(self, text: str, language: str) -> str:
        """Text in the international phonetic alphabet; "" where the language does not exist."""
        if self._lib.espeak_SetVoiceByName(language.encode()):
            return ""
        data, said = C.create_string_buffer(text.encode()), []
        rest = C.c_void_p(C.addressof(data))
        self._lib.espeak_TextToPhonemes.restype = C.c_char_p
        while rest.value:  # a clause a call
            said.append(self._lib.espeak_TextToPhonemes(C.byref(rest), _UTF8, _IPA).decode())
        return " ".join(said)

    def pronounce(self, word: str) -> list[str] | None:
        """Phone names of a word in general American; a capital letter is spelled."""
        if word not in self._pronounced:
            speech = self.speak([speakable(word)], "en-us")
            self._pronounced[word] = [n for n, _ in speech.phones if n != PAUSE] if speech else None
        return self._pronounced[word]


def foreign_language(r: random.Random) -> tuple[str, str]:
    """(script, language) of one of FOREIGN, each language as often."""
    script = r.choices(list(FOREIGN), list(map(len, FOREIGN.values())))[0]
    return script, r.choice(FOREIGN[script])


def speakable(word: str) -> str:
    """The lower-case spelling that makes espeak-ng say a word or, for a capital, a letter; "a" is the article."""
    return "eigh" if word == "A" else word.lower()


def word_ends(words: list[str], phones: list[tuple[str, float, int]]) -> list[float] | None:
    """End of every word in seconds. espeak joins some words ("of the"): their time is shared out by letters."""
    starts = sorted({group for name, _, group in phones if name != PAUSE})
    members: dict[int, list[int]] = {}
    char = 1
    for i, word in enumerate(words):
        own = [s for s in starts if s <= char]
        if not own:
            return None
        members.setdefault(own[-1], []).append(i)
        char += len(word) + 1
    if set(members) != set(starts):
        return None
    ends = [0.0] * len(words)
    for group, inside in members.items():
        spoken = [k for k, (name, _, g) in enumerate(phones) if g == group and name != PAUSE]
        if spoken[-1] + 1 >= len(phones):
            return None
        start, end = phones[spoken[0]][1], phones[spoken[-1] + 1][1]
        total, seen = sum(len(words[i]) for i in inside), 0
        for i in inside:
            seen += len(words[i])
            ends[i] = start + (end - start) * seen / total
    return ends
