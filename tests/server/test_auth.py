"""Keys and origins."""

import pytest

from realtime.errors import Unauthorized
from realtime.server.auth import ForbiddenOrigin, Keyring, check_origin, selected_subprotocol


def test_no_keys_means_everybody():
    Keyring(()).check("", ())


@pytest.mark.parametrize(
    ("authorization", "subprotocols"),
    [
        ("Bearer beta", ()),
        ("bearer  beta", ()),
        ("Basic YW55b25lOmJldGE=", ()),  # anyone:beta
        ("", ("voxwire", "key.beta")),
        ("", ("key.beta",)),
    ],
)
def test_a_key_is_taken_from_header_or_subprotocol(authorization, subprotocols):
    Keyring(("alpha", "beta")).check(authorization, subprotocols)


@pytest.mark.parametrize(
    ("authorization", "subprotocols"),
    [
        ("", ()),
        ("Bearer ", ()),
        ("Bearer bet", ()),
        ("Bearer beta2", ()),
        ("Basic beta", ()),
        ("Basic YmV0YQ==", ()),  # beta
        ("Basic YmV0YTphbHBo", ()),  # beta:alph
        ("Basic \udcff", ()),
        ("beta", ()),
        ("", ("beta",)),
        ("", ("key.",)),
        ("", ("voxwire",)),
        ("Bearer \udcff", ()),
    ],
)
def test_anything_else_is_refused(authorization, subprotocols):
    with pytest.raises(Unauthorized):
        Keyring(("alpha", "beta")).check(authorization, subprotocols)


def test_our_own_subprotocol_is_selected_before_the_key():
    assert selected_subprotocol(["key.a", "voxwire"]) == "voxwire"
    assert selected_subprotocol(["key.a"]) == "key.a"
    assert selected_subprotocol(["chat"]) is None


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "loopback"),
    [
        (None, "127.0.0.1:8000", (), True),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", (), True),
        ("http://LocalHost:8000", "localhost:8000", (), True),
        ("http://[::1]:8000", "[::1]:8000", (), True),
        ("https://captions.example", "captions.example", (), False),
        ("https://app.example", "captions.example", ("https://app.example",), False),
        ("https://app.example", "127.0.0.1:8000", ("https://app.example",), True),
        ("https://any.example", "captions.example", ("*",), False),
    ],
)
def test_own_and_allowed_pages_pass(origin, host, allowed, loopback):
    check_origin(origin, host, allowed, loopback)


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "loopback"),
    [
        ("https://evil.example", "127.0.0.1:8000", (), True),
        ("http://127.0.0.1:9000", "127.0.0.1:8000", (), True),
        ("null", "127.0.0.1:8000", (), True),
        ("", "", (), True),
        ("http://[::1", "[::1", (), True),
        # a name of theirs that they let point to 127.0.0.1
        ("http://evil.example:8000", "evil.example:8000", (), True),
        ("https://evil.example", "captions.example", ("https://app.example",), False),
    ],
)
def test_foreign_pages_are_refused(origin, host, allowed, loopback):
    with pytest.raises(ForbiddenOrigin):
        check_origin(origin, host, allowed, loopback)
