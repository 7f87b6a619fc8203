"""Chromium with a microphone made of a file or of beeps, without a screen and without asking anybody."""

from __future__ import annotations

import shutil
from pathlib import Path

CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    # A name that is not localhost: a page from it has no secure origin.
    "--host-resolver-rules=MAP voxwire.test 127.0.0.1",
)


def arguments(*, microphone: Path | None = None, allow: bool = True) -> list[str]:
    """`microphone`: a WAV file that plays once; beeps without. `allow`: permission is given without a prompt."""
    extra = ["--use-fake-ui-for-media-stream"] if allow else []
    if microphone:
        extra.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
    return [*ARGUMENTS, *extra]
