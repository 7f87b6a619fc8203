import pytest

from tests.text.vocabulary import load_tekken


@pytest.fixture(scope="session")
def tekken(tmp_path_factory):
    return load_tekken(tmp_path_factory.mktemp("tokenizer"))
