import json

import numpy as np
import pytest
import soundfile

from recipes.tiny import corpus, human


def write(folder, rows):
    folder.mkdir()
    for row in rows:
        row.setdefault("corpus", "an4")
        row.setdefault("speaker", "s1")
    (folder / "manifest.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


def clip(folder, name, seconds=1.0, rate=8000, gain=0.3):
    noise = np.random.default_rng(0).standard_normal(int(seconds * rate)) * gain * 0.2
    soundfile.write(folder / name, noise, rate)


def test_broken_empty_silent_and_clipped_files_are_listed_and_left_out(tmp_path):
    names = [
        *("good.wav", "broken.wav", "empty.wav", "silent.wav", "clipped.wav", "missing.wav"),
        "unwritable.wav",
    ]
    rows = [{"path": n, "text": "one two"} for n in names]
    rows[-1]["text"] = "caf\u00e9"
    write(tmp_path / "in", rows)
    for name in ("good.wav", "unwritable.wav"):
        clip(tmp_path / "in", name)
    (tmp_path / "in" / "broken.wav").write_bytes(b"RIFF")
    clip(tmp_path / "in", "empty.wav", seconds=0)
    clip(tmp_path / "in", "silent.wav", gain=0)
    clip(tmp_path / "in", "clipped.wav", gain=15)
    bad = human.convert(tmp_path / "in", tmp_path / "out")
    assert [line.split(":")[0] for line in bad] == names[1:]
    assert (tmp_path / "out" / "left_out.txt").read_text().splitlines() == bad
    [item] = corpus.read_index(tmp_path / "out")
    assert (item["text"], item["samples"], item["files"]) == ("one two", 16000, ["good.wav"])


def test_capitals_are_letters_only_where_the_source_says_so(tmp_path):
    rows = [
        {"path": "a.wav", "text": "A B", "text_style": "letters"},
        {"path": "a.wav", "text": "A dog", "text_style": "natural", "speaker": "s2"},
    ]
    write(tmp_path / "in", rows)
    clip(tmp_path / "in", "a.wav")
    human.convert(tmp_path / "in", tmp_path / "out")
    assert [x["spoken"] for x in corpus.read_index(tmp_path / "out")] == ["A B", "a dog"]


def test_short_words_of_one_speaker_are_joined(tmp_path):
    rows = [{"path": "a.wav", "text": "one", "corpus": "fsdd", "speaker": s} for s in "pppppppqqq"]
    write(tmp_path / "in", rows)
    clip(tmp_path / "in", "a.wav", seconds=0.4)
    human.convert(tmp_path / "in", tmp_path / "out")
    items = corpus.read_index(tmp_path / "out")
    assert sum(len(x["text"].split()) for x in items) == 10
    assert {x["voice"] for x in items} == {"p", "q"}
    assert len(items) < 10


def test_a_speaker_in_both_sets_is_an_error():
    train = [{"speaker": "ann"}, {"speaker": "bob"}]
    human.check_speakers(train, [{"speaker": "eve", "group": "g"}])
    human.check_speakers(train, [{"speaker": "bob", "group": "read_seen_speaker"}])
    with pytest.raises(ValueError, match="bob"):
        human.check_speakers(train, [{"speaker": "bob", "group": "g"}])


def test_a_folder_without_a_manifest_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="manifest"):
        human.read_manifest(tmp_path)


def test_backward_speech_has_no_words(tmp_path):
    rows = [
        {"path": "a.wav", "text": "one two", "corpus": "an4"},
        {"path": "a.wav", "text": "one", "corpus": "fsdd"},
    ]
    write(tmp_path / "in", rows)
    clip(tmp_path / "in", "a.wav")
    human.convert(tmp_path / "in", tmp_path / "people")
    human.backward(tmp_path / "people", tmp_path / "backward")
    [item] = corpus.read_index(tmp_path / "backward")
    assert (item["text"], item["words"]) == ("", [])
    forward = corpus.read_index(tmp_path / "people")[0]["samples"]
    said, backward = (np.fromfile(tmp_path / x / "audio.i16", np.int16) for x in ("people", "backward"))
    assert np.array_equal(backward, said[:forward][::-1])


def test_no_more_is_said_backward_than_was_asked_for(tmp_path):
    write(tmp_path / "in", [{"path": "a.wav", "text": "one", "speaker": s} for s in "pqrs"])
    clip(tmp_path / "in", "a.wav", seconds=1.0)
    human.convert(tmp_path / "in", tmp_path / "people")
    human.backward(tmp_path / "people", tmp_path / "backward", hours=1.5 / 3600)
    assert len(corpus.read_index(tmp_path / "backward")) == 2


def test_scrambled_speech_keeps_its_phones_and_has_no_words(tmp_path):
    levels = [4000, 8000, 12000, 16000] * 2
    writer = corpus.Writer(tmp_path / "people")
    starts = [["x", i * 0.1] for i in range(len(levels))]
    audio = np.repeat(np.array(levels, np.int16), 1600)
    writer.add(audio, text="one", voice="v", domain="an4", words=[["one", 0.8]], phones=starts)
    writer.add(audio, text="two", voice="v", domain="an4")  # never aligned
    writer.close()
    human.scrambled(tmp_path / "people", tmp_path / "scrambled")
    [item] = corpus.read_index(tmp_path / "scrambled")
    assert (item["text"], item["words"], "phones" in item) == ("", [], False)
    mixed = np.fromfile(tmp_path / "scrambled" / "audio.i16", np.int16)
    assert len(mixed) == len(audio) - 7 * human.SEAM_SAMPLES
    step = 1600 - human.SEAM_SAMPLES
    heard = mixed[800::step][: len(levels)]
    assert sorted(heard.round(-2)) == sorted(levels)
    assert list(heard.round(-2)) != levels
