"""Schedules: Φ by hand and by law, walks, anchors, temperatures, and the splitting of a budget."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdbench.budget import Budget, Updates
from kdbench.methods.schedules import anchors, annealed, constant, falling_temperatures, split_evenly, walk
from kdbench.methods.stages import Leg, TeacherRef, Trajectory

TEACHER = TeacherRef("checkpoint", 3)


@pytest.mark.parametrize(
    ("max_temperature", "expected"),
    [
        (1, [1.0]),
        (7, [1 / 7, 2 / 7, 3 / 7, 4 / 7, 5 / 7, 6 / 7, 1.0]),
        (10, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
    ],
)
def test_phi_by_hand(max_temperature: int, expected: list[float]) -> None:
    """Φ(T) = 1 - (T-1)/Tmax for T = Tmax … 1, two updates each."""
    legs = annealed(2 * max_temperature, TEACHER, max_temperature)
    assert [leg.scale for leg in legs] == pytest.approx(expected)
    assert [leg.steps for leg in legs] == [2] * max_temperature
    assert {leg.teacher for leg in legs} == {TEACHER}


def test_annealing_distributes_the_remainder() -> None:
    """Defect 2 of the released code: 10 updates over Tmax 7 must not run past Φ = 1."""
    legs = annealed(10, TEACHER, 7)
    assert sum(leg.steps for leg in legs) == 10 and {leg.steps for leg in legs} == {1, 2}
    assert legs[-1].scale == 1.0


@given(st.integers(1, 400), st.integers(1, 25))
def test_phi_rises_to_exactly_one_in_equal_shares(steps: int, max_temperature: int) -> None:
    """For any number of updates, also fewer than Tmax."""
    legs = annealed(steps, TEACHER, max_temperature)
    scales, lengths = [leg.scale for leg in legs], [leg.steps for leg in legs]
    assert scales[-1] == 1.0 and all(0 < scale <= 1 for scale in scales)
    assert all(low < high for low, high in pairwise(scales))
    shares = lengths + [0] * (max_temperature - len(lengths))
    assert sum(lengths) == steps and max(shares) - min(shares) <= 1 and min(lengths) >= 1
    allowed = [t / max_temperature for t in range(1, max_temperature + 1)]
    assert all(min(abs(scale - value) for value in allowed) < 1e-12 for scale in scales)


@given(st.integers(0, 500), st.integers(1, 30))
def test_even_split(steps: int, parts: int) -> None:
    """Sums up, differs by one at most, and the last part is never the smaller one."""
    lengths = split_evenly(steps, parts)
    assert len(lengths) == parts and sum(lengths) == steps
    assert max(lengths) - min(lengths) <= 1 and lengths[-1] == max(lengths)


@given(st.integers(1, 200), st.integers(1, 20))
def test_walk_visits_in_order_and_ends_with_the_last(steps: int, count: int) -> None:
    """A subsequence of the route in its order; all of it when there are updates enough."""
    route = [TeacherRef("checkpoint", index) for index in range(count)]
    scales = [1 / (count - index) for index in range(count)]
    legs = walk(steps, route, scales)
    visited = [leg.teacher.index for leg in legs if leg.teacher]
    assert visited == sorted(set(visited)) and visited[-1] == count - 1
    assert steps < count or visited == list(range(count))
    assert [leg.scale for leg in legs] == [scales[index] for index in visited]
    assert sum(leg.steps for leg in legs) == steps


def test_walk_does_not_scale_unless_asked() -> None:
    """Φ is 1 by default."""
    assert walk(4, [TEACHER, TeacherRef("random")]) == (Leg(2, TEACHER, 1.0), Leg(2, TeacherRef("random"), 1.0))
    assert constant(5) == (Leg(5, None, 1.0),)


@pytest.mark.parametrize(
    ("highest", "count", "expected"),
    [(3, 3, [3, 2, 1]), (3, 5, [3, 2.5, 2, 1.5, 1]), (7, 2, [7, 1]), (3, 1, [1]), (1, 4, [1, 1, 1, 1])],
)
def test_falling_temperatures_by_hand(highest: float, count: int, expected: list[float]) -> None:
    """Linear, from the highest to 1."""
    assert falling_temperatures(highest, count) == pytest.approx(expected)


@given(st.floats(1, 50), st.integers(1, 40))
def test_temperatures_fall_to_exactly_one(highest: float, count: int) -> None:
    """So that 1/τ ends at exactly 1 and never exceeds it."""
    temperatures = falling_temperatures(highest, count)
    assert temperatures[-1] == 1.0 and len(temperatures) == count
    assert all(before >= after for before, after in pairwise(temperatures))
    assert all(1 <= tau <= highest for tau in temperatures) or count == 1


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [(10, 4, [2, 4, 7, 9]), (6, 2, [2, 5]), (3, 4, [0, 1, 2]), (5, 1, [4]), (4, 4, [0, 1, 2, 3])],
)
def test_anchors_by_hand(length: int, count: int, expected: list[int]) -> None:
    """Equal intervals, the last one the final teacher."""
    assert anchors(length, count) == expected


@given(st.integers(1, 60), st.integers(1, 70))
def test_anchors_end_with_the_final_teacher(length: int, count: int) -> None:
    """Rising without repetition, in intervals that differ by one at most."""
    chosen = anchors(length, count)
    gaps = [after - before for before, after in zip([-1, *chosen], chosen, strict=False)]
    assert chosen[-1] == length - 1 and len(chosen) == min(count, length)
    assert min(gaps) >= 1 and max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(
    ("total", "epochs", "expected"),
    [(180, (14, 4), [140, 40]), (18, (14, 4), [14, 4]), (9, (14, 4), [7, 2]), (40, (30, 10), [30, 10]), (7, (3,), [7])],
)
def test_a_matched_budget_keeps_the_proportions(total: int, epochs: tuple[float, ...], expected: list[int]) -> None:
    """Annealing-KD's 14 + 4 and Combined-KD's 30 + 10, whatever the total."""
    assert Updates(total, 10).split(epochs) == expected


def test_a_paper_budget_takes_epochs_literally() -> None:
    """Annealing-KD on GLUE: 14 + 4 epochs of the training set, the matched total ignored."""
    assert Updates(total=7, per_epoch=115, paper=True).split((14, 4)) == [14 * 115, 4 * 115]
    assert Updates(total=7, per_epoch=3, paper=True).split((0.1,)) == [1]


@given(st.integers(1, 5000), st.lists(st.floats(0.1, 60), min_size=1, max_size=5))
def test_a_split_sums_exactly_and_starves_no_stage(total: int, epochs: list[float]) -> None:
    """Every part is its share rounded, or lends to a stage that would have had nothing."""
    parts = Updates(total, 10).split(epochs)
    assert sum(parts) == total and min(parts) >= 0
    assert min(parts) >= 1 or total < len(epochs)
    shares = [total * length / sum(epochs) for length in epochs]
    assert all(abs(part - share) <= len(epochs) for part, share in zip(parts, shares, strict=True))


@pytest.mark.parametrize(
    ("epochs", "examples", "batch", "per_epoch", "total"),
    [(3, 100, 32, 4, 12), (3, 96, 32, 3, 9), (1.5, 96, 32, 3, 4), (0.01, 10, 32, 1, 1), (2, 33, 32, 2, 4)],
)
def test_updates_of_a_budget(epochs: float, examples: int, batch: int, per_epoch: int, total: int) -> None:
    """A partial batch is an update, too; there is always at least one."""
    updates = Updates.of(Budget(epochs=epochs, batch_size=batch), examples)
    assert (updates.per_epoch, updates.total, updates.paper) == (per_epoch, total, False)
    assert Updates.of(Budget(paper=True), 10).paper


def test_best_checkpoint_is_the_earliest_of_equals() -> None:
    """And ``final`` is the last, whatever its score."""
    trajectory = Trajectory.nominal(4)
    scores = (0.5, 0.8, 0.8, 0.7)
    checkpoints = tuple(
        type(point)(point.index, point.epoch, point.step, score)
        for point, score in zip(trajectory.checkpoints, scores, strict=True)
    )
    trajectory = Trajectory(checkpoints)
    assert trajectory.best == TeacherRef("checkpoint", 1) == trajectory.named("best")
    assert trajectory.final == TeacherRef("checkpoint", 3) == trajectory.named("final")
