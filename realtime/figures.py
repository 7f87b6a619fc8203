"""Small JSON files of figures beside the weights, which whoever measured them wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from realtime.errors import CheckpointError


def read(
    path: Path, largest: float, required: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, float] | None:
    """Name -> figure of an object that may say its `source`, too; None without a file.

    largest: of a figure, and how far below 0; beyond is a mistake.

    Raises CheckpointError that names file and field.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: no JSON ({error}).") from None
    if not isinstance(fields, dict):
        names = f"{', '.join(required[:-1])} and {required[-1]}"
        raise CheckpointError(f"{path}: expected an object with {names}.")
    if unknown := sorted(fields.keys() - {*required, *optional, "source"}):
        raise CheckpointError(f"{path}: unknown field {unknown[0]!r}.")
    return {
        name: _number(path, largest, name, fields.get(name))
        for name in [*required, *(fields.keys() & set(optional))]
    }


def _number(path: Path, largest: float, name: str, value: object) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not -largest <= value <= largest:
        raise CheckpointError(
            f"{path}: {name} must be a number from -{largest:g} to {largest:g}, found {value!r}."
        )
    return float(value)
