"""What teacher and student cells share."""

from __future__ import annotations

from collections.abc import Callable

from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState

from kdbench.budget import Budget
from kdbench.cells.job import Job
from kdbench.training.state import Progress


def make_accelerator(job: Job, budget: Budget) -> Accelerator:
    """Device, precision and process group of one cell; what an earlier cell set up is forgotten."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    return Accelerator(
        cpu=job.device == "cpu",
        mixed_precision="bf16" if budget.precision == "bf16" else "no",
        log_with=list(job.trackers) or None,
        project_dir=str(job.store.root / "trackers" / job.key[:12]) if job.trackers else None,
    )


def start_trackers(accelerator: Accelerator, job: Job) -> None:
    """Open TensorBoard, W&B or trackio, where asked for."""
    if job.trackers:
        accelerator.init_trackers("kdbench", config={"cell": job.key, "kind": job.spec["kind"]})


def report_progress(job: Job) -> Callable[[Progress], None]:
    """Training progress as the plain data that workers send."""

    def report(progress: Progress) -> None:
        terms = {name: round(value, 4) for name, value in progress.terms.items()}
        job.report({"stage": progress.stage, "step": progress.step, "total": progress.total, "terms": terms})

    return report


def write_log(job: Job, lines: list[str]) -> None:
    """Leave the training log beside the model, one JSON object a line."""
    (job.out / "log.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def pick_device(job: Job) -> str:
    """Where evaluations run: the accelerator if there is one and the run did not ask for the CPU."""
    return best_device() if job.device == "auto" else job.device


def best_device() -> str:
    """The accelerator if there is one, else the CPU."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
