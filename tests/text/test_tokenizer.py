import copy
import json
import os
from pathlib import Path

import pytest

from realtime.errors import CheckpointError
from realtime.text.tokenizer import Tekken


def load(tmp_path, document):
    path = tmp_path / "tekken.json"
    path.write_text(json.dumps(document))
    return Tekken.load(path)


def test_control_ids_are_no_text_and_pieces_are_bytes(tekken, token):
    assert [tekken.piece(n) for n in range(40)] == [b""] * 40
    assert tekken.piece(40) == b"\x00" and tekken.piece(295) == b"\xff"
    assert tekken.piece(token(" hello")) == b" hello"
    assert tekken.piece(tekken.vocab_size) == b"" == tekken.piece(-1)


def test_reads_the_audio_block_and_the_markers(tekken):
    assert (tekken.pad_id, tekken.word_id) == (32, 33)
    assert (tekken.delay_ms, tekken.n_left_pad) == (480, 32)
    assert (tekken.frame_rate, tekken.look_ahead_ms) == (12.5, 2.5)


def test_markers_are_found_by_name_else_by_the_published_numbers(tmp_path, document):
    renamed = copy.deepcopy(document)
    renamed["special_tokens"][32]["token_str"], renamed["special_tokens"][33]["token_str"] = "x", "y"
    renamed["special_tokens"][7]["token_str"] = "[STREAMING_PAD]"
    assert (load(tmp_path, renamed).pad_id, load(tmp_path, renamed).word_id) == (7, 33)
    del document["special_tokens"]
    assert (load(tmp_path, document).pad_id, load(tmp_path, document).word_id) == (32, 33)


def test_only_the_configured_part_of_the_vocabulary_counts(tmp_path, document):
    document["config"]["default_vocab_size"] = 40 + 256
    tekken = load(tmp_path, document)
    assert tekken.vocab_size == 296
    assert tekken.piece(296) == b""


def without(*keys):
    def spoil(document):
        for key in keys[:-1]:
            document = document[key]
        del document[keys[-1]]

    return spoil


def having(*keys_and_value):
    *keys, last, value = keys_and_value

    def spoil(document):
        for key in keys:
            document = document[key]
        document[last] = value

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without("config"), "config is missing"),
        (without("audio"), "audio is missing"),
        (having("audio", []), "audio is not an object"),
        (without("config", "default_num_special_tokens"), "config.default_num_special_tokens is missing"),
        (having("config", "default_vocab_size", "many"), "config.default_vocab_size is not a number"),
        (having("config", "default_vocab_size", 10_000), "vocab has 274 entries, config asks for 9960"),
        (without("vocab"), "vocab is missing"),
        (having("vocab", 5, "token_bytes", "??"), "vocab[5].token_bytes"),
        (having("vocab", 5, {}), "vocab[5].token_bytes"),
        (having("vocab", 5, "rank", 6), "vocab[5].rank is 6, not 5"),
        (having("special_tokens", 3, {"rank": 3}), "special_tokens[3] has no token_str"),
        (having("special_tokens", 3, "rank", 400), "special_tokens[3].rank is 400"),
        (
            having("audio", "transcription_delay_ms", 500),
            "audio.transcription_delay_ms is 500, none of 80, 160",
        ),
        (having("audio", "transcription_delay_ms", 1280), "audio.transcription_delay_ms is 1280, none of"),
        (having("audio", "transcription_delay_ms", 0), "audio.transcription_delay_ms is 0"),
        (
            having("audio", "streaming_n_left_pad_tokens", 1.5),
            "streaming_n_left_pad_tokens is not a whole number",
        ),
        (without("audio", "frame_rate"), "audio.frame_rate is missing"),
    ],
)
def test_says_which_field_of_which_file_is_wrong(tmp_path, document, spoil, said):
    spoil(document)
    with pytest.raises(CheckpointError) as caught:
        load(tmp_path, document)
    assert said in caught.value.message
    assert str(tmp_path / "tekken.json") in caught.value.message


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no such file"), (b'{"config": {', "is not JSON"), (b"[]", "not a JSON object")],
)
def test_says_what_is_wrong_with_a_file_that_is_none(tmp_path, content, said):
    path = tmp_path / "tekken.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=said) as caught:
        Tekken.load(path)
    assert str(path) in caught.value.message


def test_few_control_ids_need_the_markers_by_name(tmp_path, document):
    document["config"]["default_num_special_tokens"] = 20
    document["special_tokens"] = document["special_tokens"][:20]
    document["config"]["default_vocab_size"] = 20 + 256
    with pytest.raises(CheckpointError, match=r"\[STREAMING_PAD\]"):
        load(tmp_path, document)


def tekken_audio():
    return {
        "sampling_rate": 16000,
        "frame_rate": 12.5,
        "transcription_format": "streaming",
        "transcription_delay_ms": 480,
        "streaming_look_ahead_ms": 2.5,
        "streaming_look_back_ms": 52.5,
        "streaming_n_left_pad_tokens": 32,
        "audio_encoding_config": {"num_mel_bins": 128, "hop_length": 160, "window_size": 400},
    }


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Our reader and the published one, on the file that it ships: 131,072 ids, given an audio block."""
    common = pytest.importorskip("mistral_common")
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    shipped = Path(common.__file__).parent / "data" / "tekken_240911.json"
    document = json.loads(shipped.read_bytes())
    document["audio"] = tekken_audio()
    path = tmp_path_factory.mktemp("shipped") / "tekken.json"
    path.write_text(json.dumps(document))
    return Tekken.load(path), Tekkenizer.from_file(shipped)


def test_sizes_agree_with_mistral_common(pair):
    ours, theirs = pair
    assert (ours.vocab_size, ours.n_special) == (theirs.n_words, theirs.num_special_tokens) == (131072, 1000)


@pytest.mark.parametrize("text", ["Hello, world!", " wie geht's? Über", "你好,世界。", "🙂 नमस्ते", "1234.5"])
def test_bytes_of_encoded_texts_agree(pair, text):
    ours, theirs = pair
    ids = theirs.encode(text, bos=False, eos=False)
    assert b"".join(map(ours.piece, ids)).decode() == text


def test_bytes_of_ids_agree(pair):
    ours, theirs = pair
    from mistral_common.tokens.tokenizers.tekken import SpecialTokenPolicy

    for n in [*range(0, 1300, 7), *range(1300, 131072, 997)]:
        expected = theirs.id_to_byte_piece(n, SpecialTokenPolicy.IGNORE)
        assert ours.piece(n) == expected, n


def test_reads_the_bundled_checkpoint():
    bundled = Path(__file__).parents[2] / "realtime" / "assets" / "tiny"
    path = Path(os.environ.get("VOXWIRE_MODEL", bundled)) / "tekken.json"
    if not path.exists():
        pytest.skip(f"{path} is not there.")
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    ours, theirs = Tekken.load(path), Tekkenizer.from_file(path)
    assert (ours.vocab_size, ours.n_special) == (theirs.n_words, theirs.num_special_tokens)
    assert ours.pad_id == theirs.get_special_token("[STREAMING_PAD]")
    assert ours.word_id == theirs.get_special_token("[STREAMING_WORD]")
    ids = theirs.encode(" call me at nine", bos=False, eos=False)
    assert b"".join(map(ours.piece, ids)) == b" call me at nine"
