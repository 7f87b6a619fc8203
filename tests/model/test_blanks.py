import pytest

from realtime.errors import CheckpointError
from realtime.model.blanks import PENALTY_FILE, BlankPenalty


def test_a_checkpoint_without_a_file_brings_none(tmp_path):
    assert BlankPenalty.load(tmp_path) is None


def test_what_is_written_is_read(tmp_path):
    (tmp_path / PENALTY_FILE).write_text('{"after": 12, "slope": 0.5, "limit": 3, "source": "a test"}')
    assert BlankPenalty.load(tmp_path) == BlankPenalty(12, 0.5, 3.0)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", r"blank_penalty.json: no JSON \("),
        ("12", "expected an object with after, slope and limit"),
        ('{"after": 12, "slope": 1}', "limit must be a number from -1000 to 1000, found None"),
        ('{"after": 12, "slope": 1, "limit": 4, "most": 4}', "unknown field 'most'"),
        ('{"after": -1, "slope": 1, "limit": 4}', "after must be a number of tokens, found -1"),
        ('{"after": 1.5, "slope": 1, "limit": 4}', "after must be a number of tokens, found 1.5"),
        ('{"after": 12, "slope": 0, "limit": 4}', "slope must be greater than 0, found 0"),
        ('{"after": 12, "slope": 1, "limit": -4}', "limit must be greater than 0, found -4"),
    ],
)
def test_a_broken_file_is_named_with_what_is_wrong(tmp_path, text, complaint):
    (tmp_path / PENALTY_FILE).write_text(text)
    with pytest.raises(CheckpointError, match=complaint):
        BlankPenalty.load(tmp_path)
