"""Checkpoints of a training in flight: safetensors and JSON, published whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor


class CheckpointFolder:
    """Numbered checkpoints of which only the newest complete one is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, number: int, state: dict[str, Any], tensors: dict[str, dict[str, Tensor]]) -> None:
        """Write checkpoint ``number``, then remove older ones.

        Args:
            state: plain data, written as JSON.
            tensors: file name -> tensors by name.
        """
        target = self.folder / f"{number:09d}"
        scratch = self.folder / f"{number:09d}.tmp"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        for name, group in tensors.items():
            save_file(_plain(group), scratch / f"{name}.safetensors")
        (scratch / "state.json").write_text(json.dumps(state), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)
        for old in self.folder.iterdir():
            if old != target:
                shutil.rmtree(old, ignore_errors=True)

    def load(self) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]] | None:
        """The newest complete checkpoint, or nothing."""
        complete = sorted(p for p in self.folder.glob("*[0-9]") if (p / "state.json").is_file())
        if not complete:
            return None
        state = json.loads((complete[-1] / "state.json").read_text(encoding="utf-8"))
        return state, {path.stem: load_file(path) for path in sorted(complete[-1].glob("*.safetensors"))}


def optimizer_tensors(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state under the names of the parameters."""
    tensors = {}
    for name, parameter in model.named_parameters():
        for part, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{part}.{name}"] = torch.as_tensor(value)
    return tensors


def restore_optimizer(model: torch.nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`optimizer_tensors` took."""
    on_device = any(group.get("fused") or group.get("capturable") for group in optimizer.param_groups)
    for name, parameter in model.named_parameters():
        parts = {key.split(".", 1)[0]: value for key, value in tensors.items() if key.split(".", 1)[1] == name}
        if parts:
            optimizer.state[parameter] = {
                part: value if part == "step" and not on_device else value.to(parameter.device)
                for part, value in parts.items()
            }


def _plain(group: dict[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous CPU tensors that share no memory, as safetensors wants them; copies only where they must be."""
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in group.items():
        tensor = value.detach().cpu().contiguous()
        plain[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    return plain
