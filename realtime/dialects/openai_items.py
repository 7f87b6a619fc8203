"""The conversation items of an OpenAI transcription session: which text is whose, and what the client is told of it.

An item is a turn: from what opens it (speech, or in manual mode the first text) to its last final. All of this happens
in the order in which the client is told, so the engine may be far behind the audio: items wait in a queue, text
belongs to the oldest, speech to the youngest.

    speech_started → delta … → speech_stopped → committed → item.added → item.done → delta … → completed
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from realtime.events import Final, FinalReason, Partial, Piece, SpeechStarted, SpeechStopped

BUFFER = "input_audio_buffer"
TRANSCRIPTION = "conversation.item.input_audio_transcription"
LONGEST_CHARS = 200_000  # of a manual item that nobody commits, hours of speech: it then goes on as the next

Message = dict[str, Any]


@dataclass(slots=True)
class Item:
    id: str
    manual: bool  # closed by the client's commit, not by a pause
    committed: bool = False
    text: str = ""  # of the finals that were joined
    told: str = ""  # all deltas
    pieces: list[Piece] = field(default_factory=list)  # of all deltas, if asked for
    utterance_pieces: int = 0  # of these, those of the utterance that is being written
    started_ms: int | None = None
    audio_s: float | None = None

    def is_closed_by(self, reason: FinalReason) -> bool:
        """Whether a final for this reason is the last one. A long item has several, a manual one also at pauses."""
        if reason not in ("length", "silence"):
            return True
        if self.manual:
            return not self.committed and len(self.told) >= LONGEST_CHARS
        return reason == "silence" or not self.committed

    def grow(self, text: str, pieces: Sequence[Piece]) -> tuple[str, list[Piece]]:
        """What `text`, an utterance so far, adds to what was told."""
        joint = " " if self.text and text else ""
        whole = self.text + joint + text
        added = list(pieces[self.utterance_pieces :])
        if joint and added and not self.utterance_pieces:
            added[0] = Piece(joint.encode() + added[0].text, added[0].logprob)
        delta = whole[len(self.told) :]
        self.told = whole
        self.pieces += added
        self.utterance_pieces = len(pieces)
        return delta, added

    def join(self) -> None:
        """Its utterance is over, the item is not."""
        self.text, self.utterance_pieces = self.told, 0


class Items:
    def __init__(self, prefix: str):
        """Ids begin with `prefix`."""
        self.manual = False  # new items are closed by commits alone
        self.beta = False  # speak the older dialect
        self.pre_roll_ms = 0  # speech is said to begin so much earlier
        self._prefix = prefix
        self._minted = 0
        self._waiting: deque[Item] = deque()  # for their last final
        self._last_committed: str | None = None
        self._committed_ms = 0  # stream time: what came before is committed, or cleared
        self._is_committing = False  # a commit of the client is being carried out
        self._commit_is_told = False

    # ------------------------------------------------------------ what the client asks for

    def begin_commit(self, at_ms: int) -> None:
        """The client commits what it sent until then. A flush follows; it may close the turn by itself."""
        self._is_committing, self._commit_is_told = True, False
        self._youngest().audio_s = (at_ms - self._committed_ms) / 1000

    def end_commit(self, at_ms: int) -> list[Message]:
        """The flush has been carried out; its final may be to come."""
        messages = [] if self._commit_is_told else self._commit(self._youngest())
        self._is_committing = False
        self._committed_ms = at_ms
        return messages

    def clear(self, at_ms: int) -> list[Message]:
        """The client drops what it sent until then."""
        if self._waiting and not self._waiting[-1].committed:
            self._waiting.pop()
        self._committed_ms = at_ms
        return [{"type": f"{BUFFER}.cleared"}]

    # ------------------------------------------------------------ what the session tells

    def started(self, event: SpeechStarted) -> list[Message]:
        item = self._youngest()
        item.started_ms = event.at_ms
        start_ms = max(self._committed_ms, event.at_ms - self.pre_roll_ms)
        return [{"type": f"{BUFFER}.speech_started", "audio_start_ms": start_ms, "item_id": item.id}]

    def stopped(self, event: SpeechStopped) -> list[Message]:
        item = self._youngest()
        if item.started_ms is not None:
            item.audio_s = (event.at_ms - item.started_ms) / 1000
        self._committed_ms = event.at_ms
        stop = {"type": f"{BUFFER}.speech_stopped", "audio_end_ms": event.at_ms, "item_id": item.id}
        return [stop, *self._commit(item)]

    def partial(self, event: Partial) -> list[Message]:
        return self._delta(self._oldest(), event)

    def final(self, event: Final) -> list[Message]:
        if not self._waiting and not event.text and event.reason != "flush":
            return []
        item = self._oldest()
        messages = self._delta(item, event)
        if not item.is_closed_by(event.reason):
            item.join()
            return messages
        if not item.committed:
            messages += self._commit(item)
        self._waiting.popleft()
        audio_s = (event.end_ms - event.start_ms) / 1000 if item.audio_s is None else item.audio_s
        completed = {
            "type": f"{TRANSCRIPTION}.completed",
            "item_id": item.id,
            "content_index": 0,
            "transcript": item.told,
            "usage": {"type": "duration", "seconds": audio_s},
        }
        return [*messages, completed | _logprobs(event, item.pieces)]

    # ------------------------------------------------------------ items

    def _delta(self, item: Item, event: Partial | Final) -> list[Message]:
        delta, pieces = item.grow(event.text, event.pieces or ())
        if not delta:
            return []
        message = {
            "type": f"{TRANSCRIPTION}.delta",
            "item_id": item.id,
            "content_index": 0,
            "delta": delta,
        }
        return [message | _logprobs(event, pieces)]

    def _commit(self, item: Item) -> list[Message]:
        item.committed = True
        self._commit_is_told = self._is_committing
        previous, self._last_committed = self._last_committed, item.id
        content = {"type": "input_audio", "transcript": None}
        shown = {
            "id": item.id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [content],
        }
        committed = {"type": f"{BUFFER}.committed", "item_id": item.id, "previous_item_id": previous}
        kinds = ("created",) if self.beta else ("added", "done")
        told = [
            {"type": f"conversation.item.{kind}", "previous_item_id": previous, "item": shown}
            for kind in kinds
        ]
        return [committed, *told]

    def _oldest(self) -> Item:
        return self._waiting[0] if self._waiting else self._mint()

    def _youngest(self) -> Item:
        """The item that is still being heard."""
        if self._waiting and not self._waiting[-1].committed:
            return self._waiting[-1]
        return self._mint()

    def _mint(self) -> Item:
        self._minted += 1
        self._waiting.append(Item(f"{self._prefix}{self._minted}", self.manual))
        return self._waiting[-1]


def _logprobs(event: Partial | Final, pieces: Sequence[Piece]) -> Message:
    """Nothing where they were not asked for."""
    if event.pieces is None:
        return {}
    entries = [
        {"token": piece.text.decode("utf-8", "replace"), "logprob": piece.logprob, "bytes": list(piece.text)}
        for piece in pieces
    ]
    return {"logprobs": entries}
