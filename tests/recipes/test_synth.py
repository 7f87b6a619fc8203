import ctypes
import json
import random
import shutil

import numpy as np
import pytest
import soundfile

from recipes.tiny import corpus, demo, festival, heldout, synth, texts
from recipes.tiny.espeak import FOREIGN, PAUSE, Espeak, word_ends


def missing() -> str:
    for library in ("libespeak-ng.so.1", "libflite.so.1"):
        try:
            ctypes.CDLL(library)
        except OSError:
            return library
    return "" if shutil.which("festival") else "festival"


needs_synthesisers = pytest.mark.skipif(bool(missing()), reason=f"{missing()} is not installed")


def test_joined_words_share_their_time_by_letters():
    phones = [("_", 0.0, 1), ("o", 0.1, 1), ("v", 0.2, 1), ("d", 0.5, 8), ("_", 0.9, 8)]
    assert word_ends(["of", "the", "day"], phones) is not None
    ends = word_ends(["of", "the", "day"], phones)
    assert ends == pytest.approx([0.26, 0.5, 0.9])


def test_words_and_phones_that_do_not_fit_are_refused():
    assert word_ends(["a", "b"], [("x", 0.0, 99), ("_", 0.1, 99)]) is None


@needs_synthesisers
def test_espeak_tells_words_and_phones():
    espeak = Espeak()
    speech = espeak.speak(["seven", "two"], "en-us")
    assert len(speech.word_ends_s) == 2
    assert 0.2 < speech.word_ends_s[0] < speech.word_ends_s[1] <= len(speech.audio) / speech.rate
    assert (espeak.pronounce("A"), espeak.pronounce("I")) == (["eI"], ["aI"])
    assert PAUSE not in espeak.pronounce("seven")
    assert espeak.speak(["one"], "no-such-voice") is None


@needs_synthesisers
@pytest.mark.parametrize("engine", ["espeak", "flite", "festival"])
def test_a_cast_keeps_to_its_own_voices(engine):
    for held_out in (False, True):
        cast = synth.Cast(random.Random(0), held_out)
        said = [x for _ in range(4) for x in cast.say(engine, [("digits", "one two three")])]
        assert all((voice in synth.HELD_OUT) == held_out for voice, _ in said)
        assert any(speech is not None and len(speech.word_ends_s) == 3 for _, speech in said)


@needs_synthesisers
def test_a_corpus_is_the_same_for_any_number_of_workers(tmp_path):
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        synth.synthesise(
            folder, 0.002, {"digits": 1.0}, engines={"espeak": 1.0, "flite": 1.0}, workers=workers
        )
    one, two = (corpus.read_index(tmp_path / w) for w in "12")
    assert one == two
    assert all(len(x["words"]) == len(x["text"].split()) for x in one)


@needs_synthesisers
def test_held_out_clips_have_a_manifest(tmp_path):
    assert heldout.make(tmp_path, clips_per_group=1) == len(heldout.GROUPS)
    for row in map(json.loads, (tmp_path / "manifest.jsonl").open()):
        assert row["voice"] in synth.HELD_OUT
        assert soundfile.info(tmp_path / row["path"]).samplerate == 16000


@needs_synthesisers
def test_the_demo_says_when_each_line_is_spoken(tmp_path):
    demo.make(tmp_path, seed=3)
    audio, rate = soundfile.read(tmp_path / "demo.wav")
    about = json.loads((tmp_path / "demo.json").read_text())
    assert rate == 16000
    spoken = np.zeros(len(audio), bool)
    for line in about["utterances"]:
        spoken[line["start_ms"] * 16 : line["end_ms"] * 16] = True
        assert np.abs(audio[line["start_ms"] * 16 : line["end_ms"] * 16]).max() > 0.1
    assert np.abs(audio[~spoken]).max() < np.abs(audio[spoken]).max() / 2


@needs_synthesisers
def test_foreign_speech_has_no_words_and_is_drawn_all_the_same(tmp_path):
    synth.synthesise(tmp_path, hours=0.002, mix={"foreign": 1.0}, engines={"espeak": 1.0}, workers=1, seed=5)
    items = corpus.read_index(tmp_path)
    assert items and all(item["words"] == [] and item["samples"] > 0 for item in items)
    assert not any(item["voice"].startswith("en") for item in items)
    assert len(corpus.Corpus(tmp_path).items) == len(items)
    for mix, engines in (
        ({"foreign": 1.0, "digits": 1.0}, {"espeak": 1.0}),
        ({"foreign": 1.0}, {"flite": 1.0}),
    ):
        with pytest.raises(ValueError, match="of its own"):
            synth.synthesise(tmp_path, 1, mix, engines)


@needs_synthesisers
def test_festival_speaks_other_languages_without_words_where_it_has_a_voice(monkeypatch):
    speech, _ = festival.nonsense(["perch\u00e9 no", "buongiorno signore"], "it")
    assert speech.word_ends_s == [] and len(speech.audio) > 0.5 * speech.rate
    monkeypatch.setitem(festival.FOREIGN_VOICES, "xx", "no_such_voice")
    assert list(festival.nonsense(["a", "b"], "xx")) == [None, None]


@needs_synthesisers
@pytest.mark.parametrize("script", sorted(FOREIGN))
def test_every_script_is_spoken_by_the_voices_that_read_it(script):
    espeak, r = Espeak(), random.Random(1)
    for language in FOREIGN[script]:
        speech = espeak.nonsense(texts.foreign(r, script, language), language)
        assert speech is not None and len(speech.audio) > 0.3 * speech.rate, language
