"""The finals of calls, posted to one address of the operator's: in order per call, signed, tried again.

    Call ─► observe() ─► a queue per call ─► its one task ─► POST

A call never waits for a post. Signatures follow the Standard Webhooks specification, for which most languages have a
library: HMAC-SHA256 over "id.timestamp.body". docs/dialects/calls.md.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import random
import secrets
import time
from collections import deque

import aiohttp

from realtime.config import CallsConfig
from realtime.dialects.base import to_json
from realtime.server.hub import Call, Entry

log = logging.getLogger("voxwire.webhook")

MAX_WAITING = 1000  # messages of one call; beyond it the newest is dropped, but for the end of the call
MAX_WAITING_IN_ALL = 20_000
MAX_POSTS = 16  # at once, over all calls
TRIES = 6
FIRST_PAUSE_S = 0.5  # doubled with every try
MAX_PAUSE_S = 30.0
POST_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0  # for what waits when the server ends
SECRET_PREFIX = "whsec_"
WORTH_ANOTHER_TRY = (408, 425, 429)  # and every fault of the receiver's, 500 and above


class Webhook:
    """Does nothing without a configured address. Lives on one event loop."""

    def __init__(self, config: CallsConfig, first_pause_s: float = FIRST_PAUSE_S):
        self._url = config.webhook_url
        self._key = _key(config.webhook_secret)
        self._first_pause_s = first_pause_s
        self._queues: dict[Call, deque[Post]] = {}  # a call is here while its task runs
        self._tasks: set[asyncio.Task] = set()
        self._waiting = 0
        self._posts = asyncio.Semaphore(MAX_POSTS)
        self._client: aiohttp.ClientSession | None = None

    def observe(self, call: Call, entry: Entry) -> None:
        """Take one message of a call. Never waits."""
        if not self._url:
            return
        queue = self._queues.get(call)
        waiting = len(queue) if queue else 0
        full = waiting >= MAX_WAITING or self._waiting >= MAX_WAITING_IN_ALL
        if full and call.stopped_at is None:
            log.warning("webhook: message %d of call %s dropped: too many wait", entry.sequence, call.id)
            return
        self._waiting += 1
        post = Post(call.id, entry)
        if queue is not None:
            queue.append(post)
            return
        self._queues[call] = deque([post])
        task = asyncio.get_running_loop().create_task(self._deliver(call))
        self._tasks.add(task)
        task.add_done_callback(self._note_end)

    async def close(self) -> None:
        """Let what waits be posted, for a moment. Idempotent."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_TIMEOUT_S)
        if self._waiting:
            log.warning("webhook: %d message(s) were not delivered before the end", self._waiting)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    # ------------------------------------------------------------ one call

    async def _deliver(self, call: Call) -> None:
        """Everything that waits of one call, in order."""
        queue = self._queues[call]
        try:
            while queue:
                await self._deliver_one(queue[0])
                queue.popleft()
                self._waiting -= 1
        finally:
            self._waiting -= len(queue)
            del self._queues[call]

    async def _deliver_one(self, post: Post) -> None:
        pause_s = self._first_pause_s
        for attempt in range(1, TRIES + 1):
            async with self._posts:
                fault = await self._try(post)
            if fault is None:
                return
            if attempt == TRIES or not fault.worth_another_try:
                break
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))
            pause_s = min(MAX_PAUSE_S, 2 * pause_s)
        log.warning("webhook: %s was given up: %s", post.id, fault.words)

    async def _try(self, post: Post) -> Fault | None:
        """One attempt; None when it was taken."""
        body = post.body
        headers = {"Content-Type": "application/json", "User-Agent": "voxwire"}
        headers |= signature_headers(self._key, post.id, int(time.time()), body)
        try:
            async with self._session().post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                if 200 <= answer.status < 300:
                    return None
                worth = answer.status >= 500 or answer.status in WORTH_ANOTHER_TRY
                return Fault(f"the answer was {answer.status}", worth)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Fault(type(error).__name__, True)

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(POST_TIMEOUT_S))
        return self._client

    def _note_end(self, task: asyncio.Task) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("webhook: a call's task failed", exc_info=error)


class Fault:
    """Why a post was not taken."""

    def __init__(self, words: str, worth_another_try: bool):
        self.words = words
        self.worth_another_try = worth_another_try


class Post:
    """One message on its way. Its id stays the same over all tries, so that a receiver can tell repetitions."""

    def __init__(self, call_id: str, entry: Entry):
        self.id = f"msg_{secrets.token_hex(12)}"
        self._call_id = call_id
        self._entry = entry

    @property
    def body(self) -> bytes:
        # The message is JSON already.
        head = to_json({"call": self._call_id, "sequence": self._entry.sequence})
        return f'{head[:-1]},"message":{self._entry.text}}}'.encode()


def signature_headers(key: bytes, message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The headers of the Standard Webhooks specification; without a key the message is not signed."""
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp_s)}
    if key:
        signed = f"{message_id}.{timestamp_s}.".encode() + body
        digest = hmac.new(key, signed, hashlib.sha256).digest()
        headers["webhook-signature"] = "v1," + base64.b64encode(digest).decode()
    return headers


def _key(secret: str) -> bytes:
    """`whsec_` and base64, as the specification's libraries take it; any other text is the key itself."""
    if secret.startswith(SECRET_PREFIX):
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    return secret.encode()
