import struct

import av
import numpy as np
import pytest
import soundfile

from recipes.tiny import corpus, others
from recipes.tiny.synth import FOREIGN


def tone(folder, name, seconds, rate=16000):
    folder.mkdir(parents=True, exist_ok=True)
    wave = 0.2 * np.sin(np.arange(int(seconds * rate)) * 2 * np.pi * 440 / rate)
    soundfile.write(folder / name, wave, rate)


def test_prompts_of_a_voice_are_joined_and_nothing_of_them_is_to_be_written(tmp_path):
    for i in range(12):
        tone(tmp_path / "in" / "it" / "ann", f"{i}.wav", 0.5, rate=8000)
    tone(tmp_path / "in" / "it" / "bob", "long.wav", others.MAX_SECONDS + 1)
    tone(tmp_path / "in" / "it" / "bob", "short.flac", 2)
    (tmp_path / "in" / "it" / "bob" / "README.txt").write_text("no recording")
    others.convert(tmp_path / "in", tmp_path / "out")
    items = corpus.read_index(tmp_path / "out")
    assert {x["voice"] for x in items} == {"it/ann", "it/bob"}
    assert all((x["words"], x["text"], x["domain"]) == ([], "", FOREIGN) for x in items)
    ann = [x["samples"] for x in items if x["voice"] == "it/ann"]
    assert 12 * 0.5 <= sum(ann) / corpus.RATE <= 12 * 0.8
    assert [x["samples"] for x in items if x["voice"] == "it/bob"] == [2 * corpus.RATE]
    assert corpus.Corpus(tmp_path / "out").wordless


def test_g722_is_read_although_its_files_name_no_format(tmp_path):
    folder = tmp_path / "in" / "v"
    tone(folder, "a.wav", 1.5)
    with av.open(str(folder / "a.g722"), "w", format="g722") as file:
        stream = file.add_stream("g722", rate=16000, layout="mono")
        wave = (soundfile.read(folder / "a.wav")[0] * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave[None], "s16", "mono")
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    (folder / "a.wav").unlink()
    others.convert(tmp_path / "in", tmp_path / "out")
    [item] = corpus.read_index(tmp_path / "out")
    assert item["samples"] == pytest.approx(1.5 * corpus.RATE, abs=200)


def test_a_folder_without_recordings_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no recording below"):
        others.convert(tmp_path, tmp_path / "out")


def test_a_broken_recording_is_named_and_left_out(tmp_path, capsys):
    tone(tmp_path / "in" / "v", "good.wav", 2)
    for name in ("broken.wav", "broken.mp3"):
        (tmp_path / "in" / "v" / name).write_bytes(b"RIFF no sound")
    others.convert(tmp_path / "in", tmp_path / "out")
    assert [x["samples"] for x in corpus.read_index(tmp_path / "out")] == [2 * corpus.RATE]
    printed = capsys.readouterr().out
    for name in ("broken.wav", "broken.mp3"):
        assert f"left out {tmp_path / 'in' / 'v' / name}: " in printed


def test_a_title_in_another_encoding_is_no_reason_to_leave_a_recording_out(tmp_path):
    tone(tmp_path / "in" / "v", "a.wav", 2)
    path = tmp_path / "in" / "v" / "a.wav"
    tag = b"INAM" + struct.pack("<I", 4) + b"\xca\xe5\xea\xf1"
    listed = b"LIST" + struct.pack("<I", 4 + len(tag)) + b"INFO" + tag
    whole = path.read_bytes() + listed
    path.write_bytes(whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:])
    others.convert(tmp_path / "in", tmp_path / "out")
    assert [x["samples"] for x in corpus.read_index(tmp_path / "out")] == [2 * corpus.RATE]
