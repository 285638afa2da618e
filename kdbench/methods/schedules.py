"""Schedules: which teacher, for how long, at which scale of its logits. Pure arithmetic."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from kdbench.methods.stages import Leg, TeacherRef


def split_evenly(steps: int, parts: int) -> list[int]:
    """``steps`` cut into ``parts`` whole numbers that differ by at most one.

    The last part is never the smaller one, so whatever a schedule ends with is reached even when
    there are fewer steps than parts.
    """
    bounds = [steps * i // parts for i in range(parts + 1)]
    return [after - before for before, after in itertools.pairwise(bounds)]


def constant(steps: int, teacher: TeacherRef | None = None) -> tuple[Leg, ...]:
    """One teacher, unscaled."""
    return (Leg(steps, teacher),)


def annealed(steps: int, teacher: TeacherRef, max_temperature: int) -> tuple[Leg, ...]:
    """Annealing-KD: Φ(T) = 1 - (T-1)/Tmax for T = Tmax … 1, in equal shares of the steps.

    Φ rises from 1/Tmax to exactly 1 and never exceeds it, also when ``steps`` is no multiple of
    ``max_temperature`` (the remainder is distributed).
    """
    scales = [1 - (t - 1) / max_temperature for t in range(max_temperature, 0, -1)]
    return walk(steps, [teacher] * max_temperature, scales)


def walk(steps: int, teachers: Sequence[TeacherRef], scales: Sequence[float] | None = None) -> tuple[Leg, ...]:
    """Follow ``teachers`` in order, in equal shares of the steps, each at its scale (default 1)."""
    lengths = split_evenly(steps, len(teachers))
    chosen = scales if scales is not None else [1.0] * len(teachers)
    legs = zip(lengths, teachers, chosen, strict=True)
    return tuple(Leg(length, teacher, scale) for length, teacher, scale in legs if length)


def falling_temperatures(max_temperature: float, count: int) -> list[float]:
    """``count`` temperatures from ``max_temperature`` linearly down to exactly 1."""
    if count == 1:
        return [1.0]
    return [max_temperature + (1 - max_temperature) * i / (count - 1) for i in range(count - 1)] + [1.0]


def anchors(length: int, count: int) -> list[int]:
    """Indices of ``count`` checkpoints at equal intervals, the last one always the final one (RCO).

    With 10 checkpoints and 4 anchors: 2, 4, 7 and 9 counted from 0, that is after 3, 5, 8 and 10.
    """
    count = min(count, length)
    return [-(-length * (i + 1) // count) - 1 for i in range(count)]
