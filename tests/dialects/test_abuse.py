"""What no client may do to a dialect, whatever it sends: end it by anything but a VoxwireError, make it say what is no
message of its vendor, or make it keep more the more is sent.

The messages of the golden conversations, mutated and in any order; everything follows from a seed.
"""

import json
import random
from collections import deque
from functools import cache, partial
from importlib import import_module
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from realtime.dialects.native import NativeDialect
from realtime.dialects.realtime_path import RealtimePathDialect
from realtime.errors import VoxwireError
from realtime.events import Error
from tests.conversations.play import read
from tests.conversations.stage import Echo, Stage, s16, silence, voice

HOME = Path(__file__).parents[1] / "conversations"
FOLDERS = sorted(path.parent.name for path in HOME.glob("*/form.py"))
SILENT = {"asterisk", "audiosocket", "twilio"}  # whose peers understand no text
BYTE_STREAMS = {"audiosocket", "wyoming"}
MOST_WAITING_BYTES = 70_000  # of a frame, or of a header, that is not whole
SOUND = [voice(400), silence(700)]

CONVERSATIONS, MESSAGES = 60, 60
MUTATED = (0.03, 0.15, 0.6)  # of the messages of a conversation
REPEATED = 80
MOST_HELD = 500_000  # by a dialect: values, characters and bytes; a few large messages
MOST_BYTES = 2**20  # of a frame: clients take no longer ones
DEEP = "@deep@"
NASTY = [
    *(None, True, False, 0, -1, 1, 2**31, 2**64, -(2**64), 10**400, 0.5, -0.0, 1e308, 5e-324),
    *(
        "",
        " ",
        "x",
        "12",
        "-1",
        "nan",
        "1e9",
        "ÿ€𐍈\x00\n\u202e",
        "x" * 5000,
        "AAA",
        "AA==",
        "====",
        "!",
        DEEP,
    ),
    *(
        [],
        {},
        [None],
        [[]],
        [""],
        [DEEP],
        {"": None},
        {"type": 5},
        {"x" * 300: {"y": [1, 2]}},
        list(range(300)),
    ),
]


# ---------------------------------------------------------------- what clients send


@cache
def clients(name):
    """Makes a dialect, and the conversations of its clients: query, headers and messages."""
    if name == "realtime":
        (_, openai), (_, vllm) = clients("openai"), clients("vllm")
        return partial(RealtimePathDialect, lambda: 0.0), openai + vllm
    if name == "native":
        return NativeDialect, [conversation(path, None) for path in sorted(HOME.glob("*.jsonl"))]
    form = import_module(f"tests.conversations.{name}.form")
    return form.new, [conversation(path, form) for path in sorted((HOME / name).glob("*.jsonl"))]


def conversation(path, form):
    query, headers, messages = {}, {}, []
    for line in read(path):
        match line:
            case {"stage": stage}:
                query, headers = stage.get("query", {}), stage.get("headers", {})
            case {"send": message}:
                messages.append(json.dumps(message))
            case {"text": text}:
                messages.append(text)
            case {"bytes": data}:
                messages.append(bytes.fromhex(data))
            case {"audio": _}:
                sound = form.messages(np.stack([np.concatenate(SOUND)])) if form else [s16(*SOUND)]
                messages += [m if isinstance(m, str | bytes) else json.dumps(m) for m in sound]
    return query, headers, messages


NAMES = ["native", "realtime", *FOLDERS]

# ---------------------------------------------------------------- a stage that looks closely


class Witness(Stage):
    """Stops where a connection would, and reads every frame as the vendor's clients do."""

    def __init__(self, name, tekken, query=(), headers=None, lazy=False):
        self.name, self.over = name, False
        new, _ = clients(name)
        super().__init__(Echo(tekken), query, dialect=new(), headers=headers, lazy=lazy)

    def send(self, *messages):
        for message in messages:
            if not self.over:
                super().send(message)
            self.over |= self.session.finished or self.session.failure is not None

    def say(self, event):
        self.over |= isinstance(event, Error) and event.fatal
        super().say(event)

    def tell(self, frames):
        self.told += [well_formed(self.name, frame) for frame in frames]


def well_formed(name, frame):
    assert name not in SILENT
    assert isinstance(frame, str)
    assert len(frame.encode()) < MOST_BYTES
    if name == "wyoming":
        return wyoming_event(frame.encode())
    message = json.loads(frame, parse_constant=no_json)
    assert isinstance(message, dict)
    if name == "vosk":
        assert {"partial", "text", "alternatives"} & message.keys()
    else:
        assert isinstance(message["type"], str)
    return message


def wyoming_event(data):
    line, _, rest = data.partition(b"\n")
    header = json.loads(line)
    assert len(rest) == header.get("data_length", 0)
    return header | {"data": json.loads(rest, parse_constant=no_json) if rest else {}}


def no_json(constant):
    raise AssertionError(f"{constant} is no JSON")


def held(thing, seen=None):
    """How many values a dialect keeps, characters and bytes among them."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    match thing:
        case str() | bytes() | bytearray():
            return len(thing)
        case dict():
            inner = [*thing.keys(), *thing.values()]
        case list() | tuple() | set() | frozenset() | deque():
            inner = thing
        case _ if type(thing).__module__.startswith(("realtime.", "tests.")) and not isinstance(thing, type):
            inner = own(thing)
        case _:
            return 1
    return len(inner) + sum(held(value, seen) for value in inner)


def own(thing):
    """The attributes of an object, those in slots as well."""
    slots = [slot for cls in type(thing).__mro__ for slot in getattr(cls, "__slots__", ())]
    return [*getattr(thing, "__dict__", {}).values(), *(getattr(thing, slot, None) for slot in slots)]


# ---------------------------------------------------------------- mutations


def mutated(message, rng):
    if isinstance(message, bytes):
        return mutated_bytes(message, rng)
    try:
        value = json.loads(message)
    except ValueError:
        return mutated_text(message, rng)
    if rng.random() < 0.15 or not isinstance(value, dict):
        return mutated_text(message, rng)
    for _ in range(rng.choice((1, 1, 2))):
        value = mutated_value(value, rng)
    return in_json(value, 1000 - rng.randrange(120))


def in_json(value, depth):
    """JSON text, in which `DEEP` is so many lists within each other."""
    return json.dumps(value).replace(f'"{DEEP}"', "[" * depth + "]" * depth)


def mutated_value(value, rng):
    """One place of a JSON value, or the whole, becomes something else."""
    inner = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    if not inner or rng.random() < 0.1:
        return rng.choice(NASTY)
    at = rng.choice(inner)
    copy = value.copy()
    if rng.random() < 0.2:
        del copy[at]
    elif isinstance(value, dict) and rng.random() < 0.1:
        copy[rng.choice(("type", "event", "session", "x", ""))] = rng.choice(NASTY)
    else:
        copy[at] = mutated_value(value[at], rng)
    return copy


def mutated_text(text, rng):
    at = rng.randrange(len(text) + 1)
    junk = (
        "",
        "\\ud800",
        "\x00",
        '"',
        "{",
        "}" * 3,
        "é",
        "[" * 2000,
        "NaN",
        "-",
        " MEDIA_START ",
        ":",
        "1" * 4500,
    )
    return text[:at] + rng.choice(junk) + text[at + rng.randrange(4) :]


def mutated_bytes(data, rng):
    at = rng.randrange(len(data) + 1)
    junk = (b"", b"\x00", b"\xff" * 3, b"\n", b"{", rng.randbytes(7))
    return rng.choice(
        (data[:at], data[at:], data[:at] + rng.choice(junk) + data[at:], data[:1], data + data, b"")
    )


# ---------------------------------------------------------------- tests


@pytest.mark.parametrize("name", NAMES)
def test_a_client_that_sends_anything(name, tekken):
    rng = random.Random(f"anything {name}")
    _, conversations = clients(name)
    talks = [sent for _, _, sent in conversations if sent]
    answers = 0
    for _ in range(CONVERSATIONS):
        stage = opened(name, rng.choice(conversations), tekken, rng)
        if stage is None:
            continue
        sent, how_often = rng.choice(talks), rng.choice(MUTATED)
        for index in range(MESSAGES):
            # In order mostly: who jumps about never gets far.
            message = sent[index % len(sent)] if rng.random() < 0.8 else rng.choice(rng.choice(talks))
            stage.send(mutated(message, rng) if rng.random() < how_often else message)
            if stage.over:
                break
        answers += len(stage.told)
        stage.dialect.close()
        assert held(stage.dialect) < MOST_HELD
    assert answers


@pytest.mark.parametrize("name", NAMES)
def test_every_field_with_every_wrong_value(name, tekken):
    _, conversations = clients(name)
    query, headers, first = usual(conversations)
    for message in kinds_of(conversations).values():
        for wrong in in_every_place(message):
            stage = Witness(name, tekken, query, headers, lazy=True)
            stage.send(*first, in_json(wrong, 10), message)
            stage.dialect.close()


def in_every_place(message):
    """The values of a JSON message with one of them, or one more, replaced by each that is nasty."""
    try:
        value = json.loads(message)
    except ValueError:
        return
    for path in places(value):
        for nasty in NASTY:
            yield replaced(value, path, nasty)


def places(value):
    """Paths to everything in a JSON value, the whole included; of long lists to some."""
    yield ()
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for at, below in islice(inner, 12):
        yield from ((at, *path) for path in places(below))


def replaced(value, path, by):
    if not path:
        return by
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], by)
    return copy


def opened(name, conversation, tekken, rng):
    """A stage; None if the handshake is refused."""
    query, headers, _ = conversation
    pairs = [*query.items()] if isinstance(query, dict) else [*map(tuple, query)]
    if pairs and rng.random() < 0.3:
        at = rng.randrange(len(pairs))
        pairs[at] = (pairs[at][0], rng.choice([value for value in NASTY if isinstance(value, str)]))
    try:
        return Witness(name, tekken, pairs, headers)
    except VoxwireError:
        return None


@pytest.mark.parametrize("name", NAMES)
def test_the_same_message_for_ever(name, tekken):
    """Behind any other one, while the engine does nothing."""
    _, conversations = clients(name)
    query, headers, first = usual(conversations)
    kinds = kinds_of(conversations)
    for repeated in kinds.values():
        for before in kinds.values():
            stage = Witness(name, tekken, query, headers, lazy=True)
            stage.send(*first, before, *[repeated] * REPEATED)
            early = held(stage.dialect)
            stage.send(*[repeated] * REPEATED)
            late = held(stage.dialect)
            stage.dialect.close()
            waits = name in BYTE_STREAMS and late < MOST_WAITING_BYTES
            assert stage.over or waits or late - early < REPEATED // 2, (repeated[:80], before[:80])


def usual(conversations):
    """Query, headers and first message of a client that means well: it says the most."""
    query, headers, sent = max(
        conversations, key=lambda conversation: len("".join(map(str, conversation[2][:1])))
    )
    return query, headers, sent[:1]


def kinds_of(conversations):
    """The longest message of each kind."""
    sent = [message for _, _, messages in conversations for message in messages]
    return {kind_of(message): message for message in sorted(sent, key=len)}


def kind_of(message):
    """Messages of one kind differ in their numbers and in their audio only, if they are meant well."""
    if isinstance(message, bytes):
        return min(len(message), 8)
    try:
        value = json.loads(message)
    except ValueError:
        return message[:6]
    return (value.get("type", value.get("event")) if isinstance(value, dict) else "") or message[:9]
