"""Training checkpoint -> a folder in Mistral's native layout, and back into a model."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from realtime.text.confidence import CALIBRATION_FILE
from recipes.tiny.model import Model


def export(checkpoint: Path, tokenizer: Path, folder: Path) -> None:
    """Writes params.json, consolidated.safetensors (float16, without the auxiliary head) and tekken.json.

    A calibration beside the tokenizer goes along; one that the folder has already stays.
    """
    saved = torch.load(checkpoint, weights_only=True)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: w.half().contiguous() for name, w in saved["model"].items() if not name.startswith("aux.")
    }
    save_file(weights, folder / "consolidated.safetensors")
    (folder / "params.json").write_text(json.dumps(saved["params"], indent=1) + "\n")
    shutil.copyfile(tokenizer, folder / "tekken.json")
    _keep_calibration(tokenizer.with_name(CALIBRATION_FILE), folder / CALIBRATION_FILE)
    size_mb = sum(p.stat().st_size for p in folder.iterdir()) / 1e6
    print(f"{folder}: {len(weights)} tensors, {size_mb:.1f} MB", flush=True)


def _keep_calibration(source: Path, target: Path) -> None:
    if source.exists():
        shutil.copyfile(source, target)
    if target.exists():
        print(f"{target}: good for the weights it was measured with (python -m bench confidence)", flush=True)


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
