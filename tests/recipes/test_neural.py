import importlib.util
import random

import numpy as np
import pytest

from recipes.tiny import corpus, neural, synth
from recipes.tiny.espeak import Espeak
from tests.recipes.test_synth import needs_synthesisers

needs_hibari = pytest.mark.skipif(
    importlib.util.find_spec("hibari") is None, reason="hibari-tts is not installed: pip install '.[dev]'"
)


def test_a_spectrum_is_bent_along_its_frequencies():
    spectrum = np.zeros((601, 3), np.float32)
    spectrum[100] = 1.0
    assert np.array_equal(neural.bent(spectrum, 1.0), spectrum)
    for factor in (0.8, 1.2):
        bent = neural.bent(spectrum, factor)
        assert bent.shape == spectrum.shape
        assert bent[:, 0].argmax() == pytest.approx(100 * factor)


@pytest.fixture
def voices(tmp_path):
    """A folder of Kokoro without its network: two voices of one accent, one of another, one of Japanese."""
    (tmp_path / "voices").mkdir()
    for value, name in enumerate(("af_one", "am_two", "bf_three", "jf_four")):
        np.full((510, 256), value, np.float32).tofile(tmp_path / "voices" / f"{name}.bin")
    (tmp_path / "kokoro.onnx").touch()
    return tmp_path


def test_voices_of_one_accent_are_mixed(voices):
    kokoro, r = neural.Kokoro(voices), random.Random(0)
    drawn = [kokoro.voice(r) for _ in range(200)]
    values = {voice["name"]: float(voice["style"][0, 0]) for voice in drawn}
    assert {"kokoro-af_one", "kokoro-am_two", "kokoro-bf_three"} <= set(values)
    assert not any("jf_" in name for name in values)
    assert all(voice["british"] == (voice["style"][0, 0] == 2) for voice in drawn)
    mixed = [value for value in values.values() if value not in (0, 1, 2)]
    assert len(mixed) > 20 and all(0.25 <= value <= 0.75 for value in mixed)
    assert any("jf_four" in kokoro.voice(r, foreign=True)["name"] for _ in range(100))


def test_the_folder_of_kokoro_is_named_where_something_is_missing(voices):
    (voices / "kokoro.onnx").unlink()
    with pytest.raises(FileNotFoundError, match=r"must hold kokoro.onnx and voices/\*.bin"):
        neural.Kokoro(voices)


class Network:
    """Stands for Kokoro's: remembers what it was asked, and makes as many samples as it has tokens."""

    def run(self, _, feeds):
        self.feeds = feeds
        return [np.zeros((1, feeds["tokens"].shape[1] * 600), np.float32)]


def test_the_style_of_kokoro_depends_on_the_length(voices):
    kokoro = neural.Kokoro(voices)
    kokoro._model = network = Network()
    style = np.arange(510 * 256, dtype=np.float32).reshape(510, 256)
    for ids, row in (([5, 6, 7], 2), ([5] * 600, 509)):
        wave = kokoro.speak(ids, {"style": style}, 1.1, random.Random(0))
        assert wave.shape == ((len(ids) + 2) * 600,)
        assert network.feeds["tokens"].tolist() == [[0, *ids, 0]]
        assert np.array_equal(network.feeds["style"], style[row : row + 1])
        assert network.feeds["speed"] == np.float32(1.1)


@needs_synthesisers
def test_espeak_writes_phonemes_of_any_language():
    espeak = Espeak()
    assert "mˈɔ" in espeak.ipa("guten morgen", "de")
    assert espeak.ipa("guten morgen", "no-such-voice") == ""


@needs_hibari
def test_letters_are_spelled_and_the_article_is_not():
    phonemes = neural.Phonemes()
    names = {number: c for c, number in phonemes.ids.items()}
    said = "".join(names[i] for i in phonemes.english(["A", "S", "a", "day"], "."))
    assert said == "ˈA ˈɛs ɐ dˈA."
    assert phonemes.english([], "") is None


@needs_hibari
@needs_synthesisers
def test_a_neural_corpus_waits_for_its_word_times(tmp_path):
    synth.synthesise(tmp_path / "said", 0.002, {"spell": 1.0}, engines={"hibari": 1.0}, workers=1)
    items = corpus.read_index(tmp_path / "said")
    assert len(items) > 1 and not any("words" in item for item in items)
    assert all(item["spoken"].lower() == item["text"] and item["spoken"] != item["text"] for item in items)
    assert len({item["voice"] for item in items}) <= -(-len(items) // neural.BATCH)
    with pytest.raises(ValueError, match="align it first"):
        corpus.Corpus(tmp_path / "said")


@needs_hibari
@needs_synthesisers
def test_of_foreign_speech_nothing_is_to_be_written(tmp_path):
    synth.synthesise(tmp_path / "said", 0.002, {synth.FOREIGN: 1.0}, engines={"hibari": 1.0}, workers=1)
    items = corpus.read_index(tmp_path / "said")
    assert items and all(item["words"] == [] and item["text"] == "" for item in items)


def period(wave):
    """Samples after which the most regular tenth of a second of float32 [samples] repeats."""
    lags = slice(neural.RATE // 320, neural.RATE // 70)
    found = []
    for start in range(0, len(wave) - 2400, 1200):
        part = wave[start:][:2400]
        alike = np.correlate(part, part, "full")[len(part) - 1 :]
        found.append((alike[lags].max() / alike[0], alike[lags].argmax() + lags.start))
    return max(found)[1]


@needs_hibari
def test_a_bent_voice_has_its_pitch():
    hibari, ids = neural.Hibari(), neural.Phonemes().english(["all", "right"], ".")
    high, low = (
        hibari.speak(ids, {"pitch": pitch, "tract": 1.0}, 1.0, random.Random(0)) for pitch in (1.0, 0.5)
    )
    assert period(low) / period(high) == pytest.approx(2, rel=0.1)


@needs_synthesisers
def test_kokoro_says_what_it_needs():
    cast = synth.Cast(random.Random(0), held_out=False)
    with pytest.raises(ValueError, match="--kokoro"):
        list(cast.say("kokoro", [("digits", "one two")]))
