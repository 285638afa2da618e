"""Checkpoints in flight: whole or absent, only the newest, and optimizers that go on as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kdbench.training.checkpoint import CheckpointFolder, optimizer_tensors, restore_optimizer


def test_the_newest_checkpoint_comes_back_bit_for_bit(tmp_path: Path) -> None:
    """State and tensors; older ones are gone."""
    folder = CheckpointFolder(tmp_path / "run")
    assert folder.load() is None
    values = torch.randn(4, 3)
    for number in (5, 12):
        folder.save(number, {"step": number, "best": float("-inf")}, {"model": {"w": values * number}, "best": {}})
    loaded = folder.load()
    assert loaded is not None
    state, tensors = loaded
    assert state == {"step": 12, "best": float("-inf")}
    assert torch.equal(tensors["model"]["w"], values * 12) and tensors["best"] == {}
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["000000012"]


def test_a_half_written_checkpoint_is_ignored_and_replaced(tmp_path: Path) -> None:
    """What a killed process leaves: a scratch folder, perhaps with everything but its name."""
    folder = CheckpointFolder(tmp_path)
    folder.save(1, {"step": 1}, {"model": {"w": torch.ones(1)}})
    scratch = tmp_path / "000000002.tmp"
    scratch.mkdir()
    (scratch / "state.json").write_text('{"step": 2}')
    loaded = folder.load()
    assert loaded is not None and loaded[0] == {"step": 1}
    folder.save(2, {"step": 2}, {"model": {"w": torch.zeros(1)}})
    loaded = folder.load()
    assert loaded is not None and loaded[0] == {"step": 2} and not scratch.exists()


def test_tensors_that_share_memory_or_are_views_can_be_saved(tmp_path: Path) -> None:
    """Tied weights and transposed views."""
    base = torch.arange(6.0).reshape(2, 3)
    CheckpointFolder(tmp_path).save(1, {}, {"model": {"a": base, "b": base, "c": base.T}})
    loaded = CheckpointFolder(tmp_path).load()
    assert loaded is not None and torch.equal(loaded[1]["model"]["c"], base.T)


def _train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        torch.manual_seed(step)
        optimizer.zero_grad()
        model(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()


def _model() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.Linear(5, 2))
    return model, torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)


def test_an_optimizer_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """Moments and step counts survive the disk: three updates, a restart and three more equal six."""
    straight, optimizer = _model()
    _train(straight, optimizer, range(6))
    model, optimizer = _model()
    _train(model, optimizer, range(3))
    tensors = {"model": model.state_dict(), "optimizer": optimizer_tensors(model, optimizer)}
    CheckpointFolder(tmp_path).save(3, {}, tensors)
    loaded = CheckpointFolder(tmp_path).load()
    assert loaded is not None
    resumed, optimizer = _model()
    resumed.load_state_dict(loaded[1]["model"])
    restore_optimizer(resumed, optimizer, loaded[1]["optimizer"])
    _train(resumed, optimizer, range(3, 6))
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in straight.state_dict().items())


@pytest.mark.parametrize("fused", [True, False])
def test_step_counts_are_restored_where_torch_itself_would_put_them(fused: bool) -> None:
    """A fused optimizer wants them on the parameter's device, as ``Optimizer.load_state_dict`` does.

    Seen with the meta device, which stands for any that is not the CPU: on CUDA the fused kernel refuses
    step counts on the CPU, so a resumed training would fail there.
    """
    cpu, optimizer = _model()
    _train(cpu, optimizer, range(2))
    moved = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.Linear(5, 2)).to("meta")
    target = torch.optim.AdamW(moved.parameters(), lr=0.1)
    for group in target.param_groups:
        group["fused"] = fused
    restore_optimizer(moved, target, optimizer_tensors(cpu, optimizer))
    states: list[dict[str, Tensor]] = list(target.state.values())
    assert {state["exp_avg"].device.type for state in states} == {"meta"}
    assert {state["step"].device.type for state in states} == {"meta" if fused else "cpu"}
