"""What a test may need from outside the repository, and what happens where it is absent."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SPEECH = Path(os.environ.get("VOXWIRE_SPEECH", ROOT.parent / "shared" / "speech"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("browser") and not shutil.which("chromium"):
        reason = "chromium is not installed"
        # A build server that silently tests no page would go unnoticed.
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    if item.get_closest_marker("speech") and not (SPEECH / "dev" / "manifest.jsonl").exists():
        pytest.skip(f"no recordings of people in {SPEECH} (set VOXWIRE_SPEECH)")


@pytest.fixture(scope="session")
def speech_dev() -> Path:
    """Folder with manifest.jsonl and recordings to measure on; use with @pytest.mark.speech."""
    return SPEECH / "dev"
