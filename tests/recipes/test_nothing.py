import json

import numpy as np
import soundfile

from recipes.tiny import corpus, nothing
from recipes.tiny.human import read_manifest


def test_noises_come_loud_and_quiet_and_foreign_speech_without_its_text(tmp_path):
    tone = np.sin(np.arange(8000) / 9) * 0.4
    for name, rows in (
        ("noise", [{"path": "a.flac", "kind": "rain"}, {"path": "a.flac", "kind": "rir"}]),
        (
            "dev",
            [
                {"path": "a.flac", "group": "other_lang", "text": "hallo"},
                {"path": "a.flac", "group": "digits", "text": "one"},
            ],
        ),
    ):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "a.flac", tone, corpus.RATE)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / name / "manifest.jsonl").write_text(lines)
    count = nothing.make(tmp_path, tmp_path / "out")
    rows = read_manifest(tmp_path / "out")
    assert len(rows) == count
    assert {row["text"] for row in rows} == {""}
    assert [row["group"] for row in rows].count("foreign speech") == 1
    loud, quiet = (soundfile.read(tmp_path / "out" / rows[i]["path"])[0] for i in (0, 1))
    np.testing.assert_allclose(quiet, loud * nothing.QUIET_GAIN, atol=1e-4)
