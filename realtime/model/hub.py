"""Where a checkpoint lies: a folder, or a hub name that is downloaded once, with a progress bar."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from realtime.errors import CheckpointError

BUNDLED = Path(__file__).resolve().parent.parent / "assets" / "tiny"

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_NATIVE = ["params.json", "consolidated.safetensors", "tekken.json"]
_HUGGING_FACE = ["config.json", "model*.safetensors", "model.safetensors.index.json", "tekken.json"]
_OPTIONAL = ["confidence.json", "blank_penalty.json"]


def locate(model: str | Path, progress: Callable[[str], None] = lambda line: None) -> Path:
    """A folder that exists, or a hub name -> the folder to load. Raises CheckpointError."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise CheckpointError(f"{folder}: a file; expected the folder that holds params.json or config.json.")
    if not _HUB_NAME.fullmatch(str(model)):
        raise CheckpointError(f"{model}: no such folder, and not a hub name like mistralai/NAME.")
    return _download(str(model), progress)


def _download(name: str, progress: Callable[[str], None]) -> Path:
    # Imported here: a local checkpoint needs no network library.
    from huggingface_hub import HfApi, snapshot_download

    # The library lets the errors of whatever transport it uses through, so that no narrower class catches them all.
    try:
        files = {sibling.rfilename for sibling in HfApi().model_info(name).siblings}
        wanted = _NATIVE if set(_NATIVE) <= files else _HUGGING_FACE
        progress(f"Fetching {name} from the hub (once; later starts read the local copy) …")
        return Path(snapshot_download(name, allow_patterns=[*wanted, *_OPTIONAL]))
    except Exception as error:
        local = _local_copy(name)
        if local is None:
            raise CheckpointError(f"{name}: cannot be fetched from the hub ({_first_line(error)}).") from None
        progress(f"The hub does not answer ({_first_line(error)}); using the local copy of {name}.")
        return local


def _local_copy(name: str) -> Path | None:
    """An earlier, complete download."""
    from huggingface_hub import snapshot_download

    for patterns in (_NATIVE, _HUGGING_FACE):
        try:
            folder = Path(snapshot_download(name, allow_patterns=patterns, local_files_only=True))
        except Exception:
            continue
        if (folder / "tekken.json").exists():
            return folder
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def display_name(model: str | Path, folder: Path) -> str:
    """What clients are told: the hub name as given, `voxwire-tiny` for the bundled model, else the folder's name."""
    if folder.resolve() == BUNDLED:
        return "voxwire-tiny"
    return str(model) if not Path(model).expanduser().is_dir() else folder.resolve().name
