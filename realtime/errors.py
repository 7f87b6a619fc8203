"""Every error a user can meet: a stable code, a sentence, an HTTP status and a WebSocket close code.

A dialect turns an error into its vendor's shape; nothing else of an exception ever reaches a client.
"""

from __future__ import annotations


class VoxwireError(Exception):
    """Base of all errors with a stable code.

    `code` is part of the public protocol (docs/protocol.md). `http_status` applies before a WebSocket upgrade and to
    plain HTTP; `close_code` after it. `fatal` says whether the stream can go on.
    """

    code = "internal_error"
    http_status = 500
    close_code = 1011
    fatal = True

    def __init__(self, message: str):
        super().__init__(message)
        self.message = message


class InternalError(VoxwireError):
    """A fault of ours; the message never carries exception text."""


class BadMessage(VoxwireError):
    """A text message that is no JSON object, has an unknown type or a field of the wrong type. The stream goes on."""

    code = "bad_message"
    http_status = 400
    close_code = 1008
    fatal = False


class BadOption(VoxwireError):
    """An option with an unknown name or a value outside its range."""

    code = "bad_option"
    http_status = 400
    close_code = 1008


class BadAudio(VoxwireError):
    """Audio that cannot be what the options say, e.g. half a sample at the end of the stream. The stream goes on."""

    code = "bad_audio"
    http_status = 400
    close_code = 1008
    fatal = False


class OutOfOrder(VoxwireError):
    """A command that the stream's state does not allow: `configure` after audio, anything after `end`."""

    code = "out_of_order"
    http_status = 400
    close_code = 1008
    fatal = False


class MessageTooLarge(VoxwireError):
    code = "message_too_large"
    http_status = 413
    close_code = 1009


class Unauthorized(VoxwireError):
    code = "unauthorized"
    http_status = 401
    close_code = 1008


class LimitReached(VoxwireError):
    """Idle too long, too long in total, or too far ahead of real time."""

    code = "limit_reached"
    http_status = 429
    close_code = 1008


class SlowReader(VoxwireError):
    """The client does not read its finals."""

    code = "slow_reader"
    http_status = 429
    close_code = 1008


class AtCapacity(VoxwireError):
    """No free slot. `retry_after_s` goes into the Retry-After header."""

    code = "at_capacity"
    http_status = 503
    close_code = 1013

    def __init__(self, message: str = "All slots are in use.", retry_after_s: int = 5):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ShuttingDown(VoxwireError):
    code = "shutting_down"
    http_status = 503
    close_code = 1001


class EngineFailed(VoxwireError):
    code = "engine_failed"
    http_status = 503
    close_code = 1011


class ConfigError(VoxwireError):
    """A deployment setting that cannot be: names the setting and where it came from."""

    code = "bad_config"


class CheckpointError(VoxwireError):
    """A missing, truncated or foreign checkpoint: names the file and, where there is one, the tensor."""

    code = "bad_checkpoint"


SHARED_ERRORS = (VoxwireError, *VoxwireError.__subclasses__())
"""Every error of this module: those that a session may tell, and whose codes and numbers all dialects know."""
