"""What the operator decides. Read once: defaults < TOML file < environment < flags; afterwards nothing changes.

`SETTINGS` is the one table; TOML keys, variables, flags, `--help` and the page docs/operations.md follow it.
"""

from __future__ import annotations

import binascii
import difflib
import re
import tomllib
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from realtime.errors import ConfigError
from realtime.events import DELAYS_MS, HANGOVERS_MS, PRE_ROLLS_MS, GateOptions, SessionOptions

BUNDLED_MODEL = str(Path(__file__).parent / "assets" / "tiny")
ENV_PREFIX = "VOXWIRE_"
# Variables of ours that are no settings of the server: the file itself, the client's, the tests'.
OTHER_VARIABLES = {"VOXWIRE_CONFIG", "VOXWIRE_SPEECH", "VOXWIRE_URL", "VOXWIRE_KEY"}

# ---------------------------------------------------------------- the tree


@dataclass(frozen=True, slots=True)
class ServerConfig:
    host: str
    port: int
    allowed_origins: tuple[str, ...]
    drain_timeout_s: float
    wyoming_port: int
    audiosocket_port: int


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """`None` means: found out at start-up."""

    model: str
    device: str
    dtype: str
    slots: int | None
    threads: int | None
    decoder_window: int | None
    blank_penalty: bool | None


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """What a stream gets when its client says nothing. `delay_ms=None` is the checkpoint's own."""

    delay_ms: int | None
    max_utterance_ms: int
    vad: bool
    vad_aggressiveness: int
    vad_pre_roll_ms: int
    vad_onset_ms: int
    vad_hangover_ms: int

    def options(self, checkpoint_delay_ms: int) -> SessionOptions:
        gate = GateOptions(
            enabled=self.vad,
            aggressiveness=self.vad_aggressiveness,
            pre_roll_ms=self.vad_pre_roll_ms,
            onset_ms=self.vad_onset_ms,
            hangover_ms=self.vad_hangover_ms,
        )
        delay_ms = checkpoint_delay_ms if self.delay_ms is None else self.delay_ms
        return SessionOptions(delay_ms=delay_ms, max_utterance_ms=self.max_utterance_ms, gate=gate)


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    max_connections: int
    max_message_bytes: int
    max_upload_bytes: int
    idle_timeout_s: float
    max_session_s: float
    max_ahead_s: float
    max_lag_s: float
    lag_policy: str
    release_after_s: float
    slow_reader_s: float


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """Never printed: `repr` hides the keys."""

    api_keys: tuple[str, ...] = field(repr=False)
    tcp_without_keys: bool


@dataclass(frozen=True, slots=True)
class CallsConfig:
    """`webhook_url` empty: nothing is posted. `webhook_secret` empty: what is posted is not signed."""

    webhook_url: str = field(repr=False)  # it may hold a password
    webhook_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LogConfig:
    level: str
    format: str


@dataclass(frozen=True, slots=True)
class Config:
    server: ServerConfig
    engine: EngineConfig
    session: SessionConfig
    limits: LimitsConfig
    auth: AuthConfig
    calls: CallsConfig
    log: LogConfig


# ---------------------------------------------------------------- kinds of values


@dataclass(frozen=True, slots=True)
class Kind:
    """How a value is written. `from_text` reads a flag or a variable; `accepts` says which TOML types may stand there.

    Both raise ValueError with the rest of the sentence "<name> <source>: ...".
    """

    metavar: str
    from_text: Callable[[str], Any]
    check: Callable[[Any], Any]
    accepts: tuple[type, ...]

    def from_toml(self, value: Any) -> Any:
        if isinstance(value, bool) and bool not in self.accepts:
            raise ValueError(f"{value!r} is not {self.metavar}")
        if isinstance(value, str) and str not in self.accepts:
            raise ValueError(f"{value!r} is a string, not {self.metavar}")
        if not isinstance(value, self.accepts):
            raise ValueError(f"{value!r} is not {self.metavar}")
        return self.check(value)

    def from_words(self, text: str) -> Any:
        try:
            value = self.from_text(text)
        except ValueError:
            raise ValueError(f"{text!r} is not {self.metavar}") from None
        return self.check(value)


def integer(low: int, high: int) -> Kind:
    return Kind("N", int, _between(low, high), (int,))


def seconds(low: float = 0.0, high: float = 1e9) -> Kind:
    return Kind("SECONDS", float, lambda value: float(_between(low, high)(value)), (int, float))


def text() -> Kind:
    return Kind("TEXT", str, _not_empty, (str,))


def choice(*names: str) -> Kind:
    return Kind("|".join(names), str, _one_of(names), (str,))


def switch() -> Kind:
    return Kind("on|off", str, _on_or_off, (str, bool))


def listing(metavar: str) -> Kind:
    return Kind(metavar, lambda words: [w.strip() for w in words.split(",") if w.strip()], _strings, (list,))


def delay() -> Kind:
    return Kind("MS", int, _one_of(DELAYS_MS), (int,))


def url() -> Kind:
    return Kind("URL", str, _web_address, (str,))


def secret() -> Kind:
    return Kind("TEXT", str, _signing_secret, (str,))


def device() -> Kind:
    return Kind("auto|cpu|cuda[:N]", str, _device, (str,))


def auto(kind: Kind) -> Kind:
    """The kind, or the word `auto` (None)."""

    def from_text(words: str) -> Any:
        return None if words == "auto" else kind.from_text(words)

    def check(value: Any) -> Any:
        if value is None or value == "auto":
            return None
        if isinstance(value, str) and str not in kind.accepts:
            raise ValueError(f"{value!r} is not {kind.metavar} or auto")
        try:
            return kind.check(value)
        except ValueError as error:
            raise ValueError(f"{error}, nor auto") from None

    return Kind(f"{kind.metavar}|auto", from_text, check, (*kind.accepts, str))


def _between(low: float, high: float) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not low <= value <= high:
            raise ValueError(f"{value:g} is outside {low:g}..{high:g}")
        return value

    return check


def _one_of(values: tuple[Any, ...]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if value not in values:
            raise ValueError(f"{value!r} is none of {', '.join(map(str, values))}")
        return value

    return check


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", value):
        raise ValueError(f"{value!r} is none of auto, cpu, cuda, cuda:N")
    return value


def _not_empty(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty")
    return value


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is no address that begins with http:// or https://")
    return value


def _signing_secret(value: str) -> str:
    """Any text; behind `whsec_` it must be base64, as the libraries of Standard Webhooks have it."""
    prefix, found, encoded = _not_empty(value).partition("whsec_")
    if found and not prefix:
        binascii.a2b_base64(encoded, strict_mode=True)
    return value


def _on_or_off(value: str | bool) -> bool:
    words = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}
    if isinstance(value, bool):
        return value
    if value.lower() not in words:
        raise ValueError(f"{value!r} is neither on nor off")
    return words[value.lower()]


def _strings(values: list[Any]) -> tuple[str, ...]:
    for value in values:
        if not isinstance(value, str) or not value:
            raise ValueError(f"{value!r} is no text")
    return tuple(values)


# ---------------------------------------------------------------- the table


@dataclass(frozen=True, slots=True)
class Setting:
    """`name` makes the flag and the variable; `section` and `key` the place in the TOML file and in the tree."""

    section: str
    key: str
    kind: Kind
    default: Any
    help: str
    shown_default: str = ""
    name: str = ""
    has_flag: bool = True

    @property
    def flat(self) -> str:
        return self.name or self.key

    @property
    def flag(self) -> str:
        return "--" + self.flat.replace("_", "-")

    @property
    def variable(self) -> str:
        return ENV_PREFIX + self.flat.upper()

    @property
    def default_words(self) -> str:
        if self.shown_default:
            return self.shown_default
        if self.default is None:
            return "auto"
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)


SECTIONS = {
    "server": "where it listens",
    "engine": "the model and the device",
    "session": "what a stream gets unless its client asks otherwise",
    "limits": "what one client may take",
    "auth": "who may come in",
    "calls": "where telephone calls are reported",
    "log": "what it says",
}

GATE = GateOptions()
SETTINGS = (
    Setting("server", "host", text(), "127.0.0.1", "address to listen on; 0.0.0.0 for every interface"),
    Setting("server", "port", integer(0, 65535), 8000, "port; 0 picks a free one"),
    Setting(
        "server",
        "allowed_origins",
        listing("ORIGIN,..."),
        (),
        "web pages that may connect besides our own, e.g. https://app.example; * for all",
        shown_default="none",
    ),
    Setting(
        "server", "drain_timeout_s", seconds(), 15.0, "time that SIGTERM leaves open streams for their finals"
    ),
    Setting(
        "server",
        "wyoming_port",
        integer(0, 65535),
        0,
        "TCP port for Home Assistant (Wyoming), often 10300; 0 none",
    ),
    Setting(
        "server",
        "audiosocket_port",
        integer(0, 65535),
        0,
        "TCP port for Asterisk's AudioSocket, often 9092; 0 none",
    ),
    Setting(
        "engine",
        "model",
        text(),
        BUNDLED_MODEL,
        "checkpoint folder (Mistral or Hugging Face layout) or hub name",
        shown_default="the bundled small model",
    ),
    Setting("engine", "device", device(), "auto", "auto takes a GPU if there is one"),
    Setting(
        "engine",
        "dtype",
        choice("auto", "float32", "bfloat16", "float16"),
        "auto",
        "auto is bfloat16 on a GPU, float32 elsewhere",
    ),
    Setting(
        "engine",
        "slots",
        auto(integer(1, 100_000)),
        None,
        "streams that can speak at once; auto measures memory and speed",
    ),
    Setting(
        "engine",
        "threads",
        auto(integer(1, 1024)),
        None,
        "torch threads of the one engine thread; auto is half the cores",
    ),
    Setting(
        "engine",
        "decoder_window",
        auto(integer(16, 1_000_000)),
        None,
        "tokens the decoder looks back (80 ms each): the capacity dial; auto is the checkpoint's",
    ),
    Setting(
        "engine",
        "blank_penalty",
        auto(switch()),
        None,
        "after many empty tokens in a row, prefer text: auto as the checkpoint says, which Mistral's do not; on for 4B "
        "streams that fall silent over speech (after 200)",
    ),
    Setting("session", "delay_ms", auto(delay()), None, "latency against accuracy; auto is the checkpoint's"),
    Setting("session", "max_utterance_ms", integer(1000, 600_000), 30_000, "a final is cut at this length"),
    Setting("session", "vad", switch(), GATE.enabled, "feed the model speech only"),
    Setting(
        "session", "vad_aggressiveness", integer(0, 3), GATE.aggressiveness, "3 takes the least for speech"
    ),
    Setting(
        "session",
        "vad_pre_roll_ms",
        integer(*PRE_ROLLS_MS),
        GATE.pre_roll_ms,
        "audio kept from before an onset",
    ),
    Setting("session", "vad_onset_ms", integer(10, 1000), GATE.onset_ms, "voiced time that opens the gate"),
    Setting(
        "session", "vad_hangover_ms", integer(*HANGOVERS_MS), GATE.hangover_ms, "unvoiced time that closes it"
    ),
    Setting("limits", "max_connections", integer(1, 1_000_000), 1000, "open sockets, speaking or silent"),
    Setting("limits", "max_message_bytes", integer(1024, 1 << 30), 1 << 20, "one WebSocket message"),
    Setting(
        "limits",
        "max_upload_bytes",
        integer(1024, 1 << 40),
        512 << 20,
        "one file sent to be transcribed; it is kept on disk while that lasts",
    ),
    Setting("limits", "idle_timeout_s", seconds(), 60.0, "no message for this long closes; 0 never"),
    Setting("limits", "max_session_s", seconds(), 86_400.0, "longest connection; 0 without end"),
    Setting(
        "limits", "max_ahead_s", seconds(1.0), 30.0, "audio that may wait; beyond it the server stops reading"
    ),
    Setting(
        "limits", "max_lag_s", seconds(0.5), 10.0, "captions further behind live audio than this are reported"
    ),
    Setting("limits", "lag_policy", choice("warn", "close"), "warn", "what such a report is"),
    Setting(
        "limits",
        "release_after_s",
        seconds(),
        30.0,
        "silence after which a stream gives its slot back; 0 never",
    ),
    Setting(
        "limits", "slow_reader_s", seconds(0.1), 20.0, "time that a client may leave its messages unread"
    ),
    Setting(
        "auth",
        "api_keys",
        listing("KEY,..."),
        (),
        "keys that may connect; none means everybody. No flag: the process list is public",
        shown_default="none",
        has_flag=False,
    ),
    Setting(
        "auth",
        "api_keys_file",
        text(),
        "",
        "file with one key per line, # for comments",
        shown_default="none",
    ),
    Setting(
        "auth",
        "tcp_without_keys",
        switch(),
        False,
        "whether a server with keys may open its TCP ports, which know none, to its network",
    ),
    Setting(
        "calls",
        "webhook_url",
        url(),
        "",
        "address that the finals of telephone calls are posted to",
        shown_default="none",
    ),
    Setting(
        "calls",
        "webhook_secret",
        secret(),
        "",
        "what these posts are signed with (HMAC-SHA256). No flag: the process list is public",
        shown_default="none",
        has_flag=False,
    ),
    Setting(
        "log",
        "level",
        choice("debug", "info", "warning", "error"),
        "info",
        "least level shown",
        name="log_level",
    ),
    Setting("log", "format", choice("text", "json"), "text", "one line per event", name="log_format"),
)

_BY_PLACE = {(setting.section, setting.key): setting for setting in SETTINGS}
_REASONS_WITHOUT_VALUE = {
    "api_keys": "is not a list of non-empty texts",
    "webhook_secret": "is neither a text nor, behind whsec_, base64",
}
_BY_VARIABLE = {setting.variable: setting for setting in SETTINGS}

# ---------------------------------------------------------------- reading


def add_flags(parser: ArgumentParser, sections: tuple[str, ...] = tuple(SECTIONS)) -> None:
    """Give `parser` a group of flags per section; every flag is None unless it is given."""
    parser.add_argument(
        "--config", metavar="FILE", help="TOML file with any of these settings (VOXWIRE_CONFIG)"
    )
    for section in sections:
        group = parser.add_argument_group(f"{section}: {SECTIONS[section]}")
        for setting in SETTINGS:
            if setting.section == section and setting.has_flag:
                words = f"{setting.help} (default: {setting.default_words})".replace("%", "%%")
                group.add_argument(setting.flag, dest=setting.flat, metavar=setting.kind.metavar, help=words)


def load(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Config:
    """Read all four sources once. Raises ConfigError with the setting and its source."""
    values = {(s.section, s.key): s.default for s in SETTINGS}
    path = flags.get("config") or environ.get("VOXWIRE_CONFIG")
    if path:
        values |= _from_file(Path(path))
    values |= _from_environment(environ)
    values |= _from_flags(flags)
    return _tree(values)


def _from_file(path: Path) -> dict[tuple[str, str], Any]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"config file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config file {path}: {error}") from None
    values = {}
    for section, table in tables.items():
        if section not in SECTIONS:
            raise ConfigError(f"[{section}] in {path} is no section{_meant(section, SECTIONS)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{section} in {path} must be a table: [{section}]")
        for key, value in table.items():
            setting = _BY_PLACE.get((section, key))
            if setting is None:
                known = [s.key for s in SETTINGS if s.section == section]
                raise ConfigError(f"{key} in {path} [{section}] is no setting{_meant(key, known)}")
            values[section, key] = _read(setting, f"{path} [{section}]", setting.kind.from_toml, value)
    return values


def _from_environment(environ: Mapping[str, str]) -> dict[tuple[str, str], Any]:
    values = {}
    for variable, words in environ.items():
        if not variable.startswith(ENV_PREFIX) or variable in OTHER_VARIABLES:
            continue
        setting = _BY_VARIABLE.get(variable)
        if setting is None:
            raise ConfigError(f"{variable} in the environment is no setting{_meant(variable, _BY_VARIABLE)}")
        values[setting.section, setting.key] = _read(setting, variable, setting.kind.from_words, words)
    return values


def _from_flags(flags: Mapping[str, str | None]) -> dict[tuple[str, str], Any]:
    values = {}
    for setting in SETTINGS:
        words = flags.get(setting.flat)
        if words is not None:
            values[setting.section, setting.key] = _read(
                setting, setting.flag, setting.kind.from_words, words
            )
    return values


def _read(setting: Setting, source: str, parse: Callable[[Any], Any], raw: Any) -> Any:
    try:
        return parse(raw)
    except ValueError as error:
        # A refused key must not end up in a log.
        reason = _REASONS_WITHOUT_VALUE.get(setting.key, error)
        raise ConfigError(f"{setting.flat} (from {source}): {reason}") from None


def _meant(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _tree(values: dict[tuple[str, str], Any]) -> Config:
    sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for (section, key), value in values.items():
        sections[section][key] = value
    return Config(
        server=_section(ServerConfig, sections["server"]),
        engine=_section(EngineConfig, sections["engine"]),
        session=_section(SessionConfig, sections["session"]),
        limits=_section(LimitsConfig, sections["limits"]),
        auth=_auth(**sections["auth"]),
        calls=_section(CallsConfig, sections["calls"]),
        log=_section(LogConfig, sections["log"]),
    )


def _section(cls: type, values: dict[str, Any]) -> Any:
    missing = [f.name for f in fields(cls) if f.name not in values and f.default is MISSING]
    assert not missing, f"SETTINGS lacks {missing}"
    return cls(**values)


def _auth(api_keys: tuple[str, ...], api_keys_file: str, tcp_without_keys: bool) -> AuthConfig:
    return AuthConfig(_all_keys(api_keys, api_keys_file), tcp_without_keys)


def _all_keys(api_keys: tuple[str, ...], api_keys_file: str) -> tuple[str, ...]:
    keys = list(api_keys)
    if api_keys_file:
        keys += _keys_of(Path(api_keys_file))
    if any(any(c.isspace() or not c.isprintable() for c in key) for key in keys):
        raise ConfigError("api_keys: a key holds a space or a character that no header can carry")
    return tuple(dict.fromkeys(keys))


def _keys_of(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"api_keys_file {path}: {getattr(error, 'strerror', None) or 'is no text file'}"
        ) from None
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        # An empty file would otherwise open the server to everybody.
        raise ConfigError(f"api_keys_file {path}: holds no key")
    return keys
