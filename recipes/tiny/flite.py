"""flite in process: word ends and phone starts are read from the utterance's segments."""

import ctypes as C

import numpy as np

from recipes.tiny.speech import Speech

VOICES = ["kal16", "awb", "awb", "slt", "slt", "rms"]
# flite's phone set in espeak's names
PHONES = {
    "aa": "A:", "ae": "a", "ah": "V", "ao": "O:", "aw": "aU", "ax": "@", "ay": "aI", "b": "b", "ch": "tS",
    "d": "d", "dh": "D", "eh": "E", "er": "3:", "ey": "eI", "f": "f", "g": "g", "hh": "h", "ih": "I",
    "iy": "i:", "jh": "dZ", "k": "k", "l": "l", "m": "m", "n": "n", "ng": "N", "ow": "oU", "oy": "OI",
    "p": "p", "pau": "_", "r": "r", "s": "s", "sh": "S", "t": "t", "th": "T", "uh": "U", "uw": "u:",
    "v": "v", "w": "w", "y": "j", "z": "z", "zh": "Z",
}  # fmt: skip
_WORD_END = b"R:SylStructure.daughtern.daughtern.R:Segment.end"


class _Wave(C.Structure):
    _fields_ = (
        ("type", C.c_char_p),
        ("rate", C.c_int),
        ("samples", C.c_int),
        ("channels", C.c_int),
        ("data", C.POINTER(C.c_short)),
    )


class Flite:
    """Raises OSError where flite's libraries are not installed."""

    def __init__(self):
        self._lib = lib = C.CDLL("libflite.so.1", mode=C.RTLD_GLOBAL)
        for name in ("usenglish", "cmulex"):
            C.CDLL(f"libflite_{name}.so.1", mode=C.RTLD_GLOBAL)
        lib.flite_init()
        for name in ("flite_synth_text", "utt_relation", "relation_head", "item_next"):
            getattr(lib, name).restype = C.c_void_p
        lib.utt_wave.restype = C.POINTER(_Wave)
        lib.ffeature_string.restype = C.c_char_p
        lib.ffeature_float.restype = C.c_float
        self._voices: dict[str, int] = {}

    def _voice(self, name: str) -> int:
        if name not in self._voices:
            library = C.CDLL(f"libflite_cmu_us_{name}.so.1")
            register = getattr(library, f"register_cmu_us_{name}")
            register.restype = C.c_void_p
            self._voices[name] = register(None)
        return self._voices[name]

    def speak(
        self, words: list[str], voice: str, stretch=1.0, pitch_hz: float | None = None, pitch_shift=1.0
    ) -> Speech | None:
        """Words in lower case -> speech; None where flite made other words of them.

        kal16 takes `pitch_hz`; `pitch_shift`, which leaves the vocal tract as it is, is for the other voices.
        """
        lib, handle = self._lib, self._voice(voice)
        features = C.cast(handle, C.POINTER(C.c_void_p))[1]
        lib.feat_set_float(C.c_void_p(features), b"duration_stretch", C.c_float(stretch))
        lib.feat_set_float(C.c_void_p(features), b"f0_shift", C.c_float(pitch_shift))
        if pitch_hz:
            lib.feat_set_float(C.c_void_p(features), b"int_f0_target_mean", C.c_float(pitch_hz))
        utterance = C.c_void_p(lib.flite_synth_text(" ".join(words).encode(), C.c_void_p(handle)))
        wave = lib.utt_wave(utterance).contents
        audio, rate = np.ctypeslib.as_array(wave.data, (wave.samples,)).copy(), wave.rate
        ends = [lib.ffeature_float(item, _WORD_END) for item in self._items(utterance, b"Word")]
        segments = [
            (lib.ffeature_string(item, b"name").decode(), lib.ffeature_float(item, b"end"))
            for item in self._items(utterance, b"Segment")
        ]
        lib.delete_utterance(utterance)
        starts = [0.0, *(end for _, end in segments)]
        phones = [(PHONES.get(name, name), start) for (name, _), start in zip(segments, starts, strict=False)]
        return Speech(audio, rate, ends, phones) if len(ends) == len(words) else None

    def _items(self, utterance: C.c_void_p, relation: bytes):
        item = self._lib.relation_head(C.c_void_p(self._lib.utt_relation(utterance, relation)))
        while item:
            yield C.c_void_p(item)
            item = self._lib.item_next(C.c_void_p(item))
