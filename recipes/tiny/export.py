"""Training checkpoint -> a folder in Mistral's native layout, and back into a model."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from realtime.model import weights as service
from realtime.model.blanks import PENALTY_FILE
from realtime.text.confidence import CALIBRATION_FILE
from recipes.tiny.model import Model

MEASURED = {CALIBRATION_FILE: "python -m bench confidence", PENALTY_FILE: "docs/decisions/blanks.md"}
"""Files of figures that belong to the weights, and how they were come by."""


def export(checkpoint: Path, tokenizer: Path, folder: Path) -> None:
    """Writes params.json, consolidated.safetensors (float16, without the auxiliary head) and tekken.json.

    A calibration and a penalty on blanks beside the tokenizer go along; those that the folder has already stay. Raises
    ValueError for weights that float16 cannot hold, and CheckpointError if the service's own loader cannot read what
    was written.
    """
    saved = torch.load(checkpoint, weights_only=True)
    weights = {
        name: w.half().contiguous() for name, w in saved["model"].items() if not name.startswith("aux.")
    }
    for name, w in weights.items():
        if not w.isfinite().all():
            raise ValueError(f"{checkpoint}: {name} has values that float16 cannot hold")
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "consolidated.safetensors")
    (folder / "params.json").write_text(json.dumps(saved["params"], indent=1) + "\n")
    shutil.copyfile(tokenizer, folder / "tekken.json")
    for name, measured in MEASURED.items():
        _keep_figures(tokenizer.with_name(name), folder / name, measured)
    _check(folder, weights)
    size_mb = sum(p.stat().st_size for p in folder.iterdir()) / 1e6
    print(f"{folder}: {len(weights)} tensors, {size_mb:.1f} MB", flush=True)


def _check(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Reads everything back, bit for bit and by the loader that will serve it."""
    written = load_file(folder / "consolidated.safetensors")
    if written.keys() != weights.keys() or not all(torch.equal(written[n], w) for n, w in weights.items()):
        raise ValueError(f"{folder}: what was written is not what was to be written")
    service.load(folder, torch.float16, torch.device("cpu"))


def _keep_figures(source: Path, target: Path, measured: str) -> None:
    if source.exists():
        shutil.copyfile(source, target)
    if target.exists():
        print(f"{target}: good for the weights it was measured with ({measured})", flush=True)


def load(path: Path) -> Model:
    """A training checkpoint (.pt) or an exported folder -> model in float32 without the auxiliary head."""
    if path.is_dir():
        p, weights = (
            json.loads((path / "params.json").read_text()),
            load_file(path / "consolidated.safetensors"),
        )
    else:
        saved = torch.load(path, weights_only=True)
        p, weights = saved["params"], saved["model"]
    model = Model(p)
    model.load_state_dict({name: w.float() for name, w in weights.items() if not name.startswith("aux.")})
    return model.eval()
