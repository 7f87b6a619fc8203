"""Configuration: precedence, sources named in errors, unknown names refused."""

from argparse import ArgumentParser
from pathlib import Path

import pytest

from realtime import config
from realtime.errors import ConfigError


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_defaults_serve_the_bundled_model_on_loopback_only():
    c = config.load({}, {})
    assert (c.server.host, c.server.port) == ("127.0.0.1", 8000)
    assert c.engine.model == config.BUNDLED_MODEL
    assert c.limits.max_message_bytes == 1 << 20
    assert c.auth.api_keys == ()


def test_each_source_overrides_the_one_before(tmp_path):
    path = write(
        tmp_path / "v.toml", "[server]\nport = 1\n[limits]\nidle_timeout_s = 5\n[log]\nlevel = 'error'\n"
    )
    environ = {"VOXWIRE_PORT": "2", "VOXWIRE_IDLE_TIMEOUT_S": "6"}
    c = config.load({"config": path, "port": "3"}, environ)
    assert (c.server.port, c.limits.idle_timeout_s, c.log.level) == (3, 6.0, "error")


def test_the_file_may_be_named_by_the_environment(tmp_path):
    path = write(tmp_path / "v.toml", "[session]\nvad = false\n")
    assert config.load({}, {"VOXWIRE_CONFIG": path}).session.vad is False


def test_a_flag_names_another_file_than_the_environment(tmp_path):
    first = write(tmp_path / "a.toml", "[server]\nport = 1\n")
    second = write(tmp_path / "b.toml", "[server]\nport = 2\n")
    assert config.load({"config": second}, {"VOXWIRE_CONFIG": first}).server.port == 2


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[server]\nport = 99999", ["port", "[server]", "99999"]),
        ("[server]\nport = '80'", ["port", "[server]"]),
        ("[server]\nport = true", ["port", "[server]"]),
        ("[server]\nprot = 80", ["prot", "did you mean port"]),
        ("[sever]\nport = 80", ["[sever]", "did you mean server"]),
        ("server = 1", ["[server]"]),
        ("[engine]\nslots = 'many'", ["slots", "many"]),
        ("[engine]\ndevice = 'tpu'", ["device", "tpu"]),
        ("[session]\ndelay_ms = 100", ["delay_ms", "100"]),
        ("[auth]\napi_keys = 'abc'", ["api_keys"]),
        ("[calls]\nwebhook_url = 'crm.example/calls'", ["webhook_url", "http://", "https://"]),
        ("[calls]\nwebhook_url = ''", ["webhook_url"]),
        ("[server", ["v.toml"]),
    ],
)
def test_a_wrong_file_names_the_setting_and_the_file(tmp_path, toml, words):
    path = write(tmp_path / "v.toml", toml)
    with pytest.raises(ConfigError) as caught:
        config.load({"config": path}, {})
    for word in (*words, "v.toml"):
        assert word in caught.value.message


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"VOXWIRE_PORT": "tcp://10.0.0.1:8000"}, ["port", "VOXWIRE_PORT", "tcp://"]),
        ({"VOXWIRE_API_KEY": "secret"}, ["VOXWIRE_API_KEY", "did you mean VOXWIRE_API_KEYS"]),
        ({"VOXWIRE_VAD": "perhaps"}, ["vad", "VOXWIRE_VAD", "perhaps"]),
        ({"VOXWIRE_MODEL": " "}, ["model", "VOXWIRE_MODEL", "empty"]),
    ],
)
def test_a_wrong_variable_is_named(environ, words):
    with pytest.raises(ConfigError) as caught:
        config.load({}, environ)
    for word in words:
        assert word in caught.value.message


def test_a_wrong_flag_is_named():
    with pytest.raises(ConfigError, match="--vad-aggressiveness"):
        config.load({"vad_aggressiveness": "9"}, {})


def test_a_missing_file_is_named():
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        config.load({"config": "nowhere.toml"}, {})


def test_what_is_neither_a_value_nor_auto_is_told_of_both():
    with pytest.raises(ConfigError, match="'maybe' is neither on nor off, nor auto"):
        config.load({"blank_penalty": "maybe"}, {})
    found = [
        config.load({"blank_penalty": words}, {}).engine.blank_penalty for words in ("on", "off", "auto")
    ]
    assert found == [True, False, None]


def test_auto_is_none_and_numbers_are_numbers():
    c = config.load({"slots": "auto", "threads": "2", "delay_ms": "2400"}, {})
    assert (c.engine.slots, c.engine.threads, c.session.delay_ms) == (None, 2, 2400)


def test_the_delay_is_the_checkpoints_unless_set():
    assert config.load({}, {}).session.options(960).delay_ms == 960
    assert config.load({"delay_ms": "240"}, {}).session.options(960).delay_ms == 240


def test_vad_settings_reach_the_session_options():
    options = config.load({"vad": "off", "vad_hangover_ms": "700"}, {}).session.options(480)
    assert (options.gate.enabled, options.gate.hangover_ms) == (False, 700)


def test_keys_come_from_list_and_file_and_stay_hidden(tmp_path):
    path = write(tmp_path / "keys", "# staff\nalpha\n\nbeta\n")
    c = config.load({"api_keys_file": path}, {"VOXWIRE_API_KEYS": "gamma, alpha"})
    assert c.auth.api_keys == ("gamma", "alpha", "beta")
    assert "gamma" not in repr(c)


def test_an_empty_key_file_does_not_open_the_server(tmp_path):
    path = write(tmp_path / "keys", "# none yet\n")
    with pytest.raises(ConfigError, match="holds no key"):
        config.load({"api_keys_file": path}, {})


def test_a_bad_key_is_refused_without_being_shown(tmp_path):
    path = write(tmp_path / "v.toml", "[auth]\napi_keys = ['top secret', 7]")
    with pytest.raises(ConfigError) as caught:
        config.load({"config": path}, {})
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("secret", ["whsec_hidden-and-no-base64!", "whsec_hidden", " "])
def test_a_signing_secret_is_refused_without_being_shown(secret):
    with pytest.raises(ConfigError, match="webhook_secret") as caught:
        config.load({}, {"VOXWIRE_WEBHOOK_SECRET": secret})
    assert "hidden" not in caught.value.message


def test_where_calls_are_reported_stays_hidden():
    environ = {
        "VOXWIRE_WEBHOOK_SECRET": "whsec_c2VjcmV0",
        "VOXWIRE_WEBHOOK_URL": "https://me:pass@crm.example/",
    }
    c = config.load({}, environ)
    assert c.calls.webhook_secret == "whsec_c2VjcmV0"
    assert "c2VjcmV0" not in repr(c) and "pass" not in repr(c)


def test_keys_and_secrets_have_no_flag():
    parser = ArgumentParser()
    config.add_flags(parser)
    assert "--api-keys " not in parser.format_help()
    assert "--webhook-secret" not in parser.format_help()


def test_help_shows_every_other_setting_in_its_group():
    parser = ArgumentParser()
    config.add_flags(parser)
    words = parser.format_help()
    for setting in config.SETTINGS:
        assert (setting.flag in words) or not setting.has_flag
    for section, caption in config.SECTIONS.items():
        assert f"{section}: {caption}" in words


def test_no_two_settings_share_a_name():
    names = [setting.flat for setting in config.SETTINGS]
    assert len(names) == len(set(names))
