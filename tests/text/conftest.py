import pytest

from tests.text.vocabulary import load_tekken, tekken_document, token_ids


@pytest.fixture
def document():
    return tekken_document()


@pytest.fixture(scope="session")
def tekken(tmp_path_factory):
    return load_tekken(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def token(tekken):
    """The id of a byte string, or of P, W, EOS."""
    names = {"P": tekken.pad_id, "W": tekken.word_id, "EOS": 2}
    ids = token_ids(tekken)
    return lambda piece: (
        names[piece] if piece in names else ids[piece if isinstance(piece, bytes) else piece.encode()]
    )
