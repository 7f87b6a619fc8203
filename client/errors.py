"""What can go wrong, each with the sentence that the user reads and the exit code of the command line."""

from __future__ import annotations

EXIT_OK = 0
EXIT_LOST = 1  # the stream broke off; what was heard until then is written
EXIT_USAGE = 2  # bad arguments, an unreadable file, no such device
EXIT_UNREACHABLE = 3
EXIT_UNAUTHORIZED = 4
EXIT_BUSY = 5
EXIT_INTERRUPTED = 130


class ClientError(Exception):
    """Base of all; `str(error)` is one readable line, `hint` what to do about it when nothing else helps."""

    exit_code = EXIT_LOST
    retry = False  # may the same stream succeed on a new connection?

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.hint = hint

    def advice(self) -> str:
        """The line and the hint."""
        return f"{self} {self.hint}".rstrip()


class BadInput(ClientError):
    """An argument, a file or an output path that cannot be used."""

    exit_code = EXIT_USAGE


class DeviceError(ClientError):
    """No PortAudio, no microphone, or one that cannot be opened or went away."""

    exit_code = EXIT_USAGE


class Unreachable(ClientError):
    """Nobody answers at the address."""

    exit_code = EXIT_UNREACHABLE
    retry = True


class Unauthorized(ClientError):
    exit_code = EXIT_UNAUTHORIZED


class Busy(ClientError):
    """HTTP 503: no free slot, or the server is not ready. `retry_after_s` is what the server asked for."""

    exit_code = EXIT_BUSY
    retry = True

    def __init__(self, message: str, retry_after_s: float | None = None):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Refused(ClientError):
    """The server answered the request with another status than the upgrade."""


class Lost(ClientError):
    """The connection ended before `done`: `code` closed it, `reason_code` is that of the error message."""

    def __init__(self, message: str, *, retry: bool, code: int | None = None, reason_code: str = ""):
        super().__init__(message)
        self.retry = retry
        self.code = code
        self.reason_code = reason_code


class BadReply(ClientError):
    """The server sent something that is no message of the protocol."""
