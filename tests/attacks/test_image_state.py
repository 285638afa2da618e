"""An interrupted image attack goes on where it was, to the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from kdbench.attacks.image_state import StateFile
from kdbench.attacks.images import ImageAttackResult, attack_images
from tests.attacks.image_cases import attack, digits, trained

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC = attack(
    epsilons=(0.04, 0.08),
    members=[
        "fgsm",
        {"algorithm": "pgd", "steps": 5, "restarts": 2},
        {"algorithm": "apgd-t", "steps": 6, "targets": 2},
        {"algorithm": "square", "queries": 40, "rescale": True},
    ],
)


def run(path: Path | None, key: str = "cell", interrupt_after: int = -1) -> ImageAttackResult:
    """The attack in batches of 16, ended by force after so many of them."""
    images, labels = (part[:48] for part in digits())
    batches = 0

    def count(member: str, share: float) -> None:
        nonlocal batches
        batches += 1
        if batches == interrupt_after:
            raise InterruptedError

    state = StateFile(path, key) if path else None
    return attack_images(trained(), images, labels, SPEC, seed=0, batch_size=16, state=state, progress=count)


def same(first: ImageAttackResult, second: ImageAttackResult) -> bool:
    """Whether everything that is recorded is the same, bit for bit."""
    columns = zip(first.columns().values(), second.columns().values(), strict=True)
    return torch.equal(first.images, second.images) and all(
        np.array_equal(np.asarray(one), np.asarray(other)) for one, other in columns
    )


@pytest.fixture(scope="module")
def whole(one_thread: None) -> ImageAttackResult:
    return run(None)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is written after every batch, at any cost."""
    monkeypatch.setattr("kdbench.attacks.image_state._SHARE", float("inf"))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("batches", [1, 2, 5, 9, 14, 20])
def test_an_exception_loses_one_batch(batches: int, whole: ImageAttackResult, tmp_path: Path) -> None:
    path = tmp_path / "work" / "attack.safetensors"
    with pytest.raises(InterruptedError):
        run(path, interrupt_after=batches)
    state = StateFile(path, "cell").load()
    assert state is not None and (state.round, state.done) != (0, 0)
    assert same(run(path), whole)
    finished = StateFile(path, "cell").load()
    assert finished is not None and torch.equal(finished.strongest, whole.images)


@pytest.mark.usefixtures("eager")
def test_what_is_done_is_not_done_again(whole: ImageAttackResult, tmp_path: Path) -> None:
    path = tmp_path / "attack.safetensors"
    run(path)
    seen = []
    hook = trained().conv1.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    try:
        assert same(run(path), whole)
    finally:
        hook.remove()
    assert sum(seen) <= 3 * 48, "the originals, the last batch, and the results"


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    "content", [None, b"", b"torn", "other key", {}, {"key": "cell"}, {"key": "cell", "round": "x"}]
)
def test_what_is_not_this_attack_s_state_is_not_used(
    content: bytes | str | dict[str, str] | None, whole: ImageAttackResult, tmp_path: Path
) -> None:
    path = tmp_path / "attack.safetensors"
    if content == "other key":
        with pytest.raises(InterruptedError):
            run(path, key="another", interrupt_after=3)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):  # of other fields
        save_file({"margins": torch.zeros(1)}, path, metadata=content or None)
    assert StateFile(path, "cell").load() is None
    assert same(run(path), whole)


@pytest.mark.usefixtures("eager")
def test_a_state_that_cannot_be_written_does_not_end_the_attack(whole: ImageAttackResult, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    assert same(run(tmp_path / "taken" / "attack.safetensors"), whole)


def test_writing_is_a_small_part_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that stands still but for 1 s a writing: the next one is due 20 s later."""
    now = [0.0]
    monkeypatch.setattr("kdbench.attacks.image_state.time.perf_counter", lambda: now[0])

    def write(path: Path, content: bytes) -> None:
        written.append(now[0])
        now[0] += 1

    written: list[float] = []
    monkeypatch.setattr("kdbench.attacks.image_state.write_atomic", write)
    state = StateFile(tmp_path / "attack.safetensors", "cell")
    images = torch.zeros(2, 1, 4, 4)
    from kdbench.attacks.image_state import AttackState

    for _ in range(50):
        state.save(AttackState.start(images, torch.ones(2), torch.ones(2, dtype=torch.bool), 8))
        now[0] += 1
    assert written == [0, 21, 42]


SCRIPT = """
from pathlib import Path
from tests.attacks.test_image_state import run
import kdbench.attacks.image_state as state
state._SHARE = float("inf")
write = state.write_atomic

def loudly(path, content):
    write(path, content)
    print("written", flush=True)

state.write_atomic = loudly
run(Path({path!r}))
"""


@pytest.mark.usefixtures("eager")
def test_a_killed_process_is_taken_up_again(whole: ImageAttackResult, tmp_path: Path) -> None:
    path = tmp_path / "attack.safetensors"
    command = [sys.executable, "-c", SCRIPT.format(path=str(path))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for _ in range(4):
            assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    state = StateFile(path, "cell").load()
    assert state is not None and (state.round, state.done) > (0, 32)
    assert same(run(path), whole)
