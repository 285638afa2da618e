"""Where names go beside points, so that none covers another, a point, or the line to another name's point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Align = Literal["left", "center", "right"]

HEIGHT = 13.0
"""Height of a line of text in pixels."""
_CHARACTER = 6.7
_GAP = 8.0
_FARTHEST = 12
_JOINED_FROM = 12.0


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Whether they share any area."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def within(self, other: Box) -> bool:
        """Whether no part of it is outside."""
        across = other.left <= self.left and self.right <= other.right
        return across and other.top <= self.top and self.bottom <= other.bottom

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """Its point that is nearest to another."""
        return min(max(x, self.left), self.right), min(max(y, self.top), self.bottom)


@dataclass(frozen=True)
class Label:
    """A placed name.

    Attributes:
        index: of its point.
        x, y: where the text is anchored: the middle of its height, at the side of ``align``.
        leader: end of the line that joins it to its point; nothing where it is close.
    """

    index: int
    x: float
    y: float
    align: Align
    leader: tuple[float, float] | None


def place_labels(
    points: Sequence[tuple[float, float]], names: Sequence[str], area: Box, others: Sequence[tuple[float, float]] = ()
) -> list[Label]:
    """Each name at the free place nearest to its point; one that finds none is left out.

    Several orders are tried; the one that places most names, then the one with the fewest leaders, wins.

    Args:
        points: in pixels.
        names: one for each point.
        area: what names must not leave.
        others: what else names must not cover.
    """
    order = range(len(points))
    orders = (order, sorted(order, key=lambda i: points[i][1]), sorted(order, key=lambda i: points[i][0]), order[::-1])
    tried = [_place(points, names, area, others, indices) for indices in orders]
    return max(tried, key=lambda labels: (len(labels), -sum(label.leader is not None for label in labels)))


def _place(
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    area: Box,
    others: Sequence[tuple[float, float]],
    order: Sequence[int],
) -> list[Label]:
    """One after the other, in this order."""
    marks = {point: Box(point[0] - 5, point[1] - 5, point[0] + 5, point[1] + 5) for point in points}
    fixed = [*marks.values(), *(Box(x - 2, y - 2, x + 2, y + 2) for x, y in others)]
    taken: list[Box] = []
    placed = []
    for index in order:
        point = points[index]
        foreign = [mark for at, mark in marks.items() if at != point]
        for box, align in _places(point, len(names[index]) * _CHARACTER):
            if not box.within(area) or any(box.overlaps(other) for other in (*fixed, *taken)):
                continue
            end = box.nearest(*point)
            leader = along(point, end, 3) if math.dist(point, end) > _JOINED_FROM else []
            if any(step.overlaps(other) for step in leader for other in (*foreign, *taken)):
                continue
            taken += [box, *leader]
            x = {"left": box.left, "center": (box.left + box.right) / 2, "right": box.right}[align]
            placed.append(Label(index, x, (box.top + box.bottom) / 2, align, end if leader else None))
            break
    return placed


def along(start: tuple[float, float], end: tuple[float, float], step: float) -> list[Box]:
    """Small boxes on the line between two points, without its ends."""
    count = max(1, round(math.dist(start, end) / step))
    shares = [i / count for i in range(1, count)]
    on = [(start[0] + (end[0] - start[0]) * s, start[1] + (end[1] - start[1]) * s) for s in shares]
    return [Box(x - 1, y - 1, x + 1, y + 1) for x, y in on]


def _places(point: tuple[float, float], width: float) -> Iterator[tuple[Box, Align]]:
    """Boxes around a point, the nearest first; right before left, centred last."""
    x, y = point
    found: list[tuple[float, Box, Align]] = []
    for half_lines in range(-_FARTHEST, _FARTHEST + 1):
        middle = y + half_lines * HEIGHT / 2
        aside = _GAP + abs(half_lines) * 1.5
        choices: list[tuple[float, Align]] = [(x + aside, "left"), (x - aside - width, "right")]
        if abs(half_lines) >= 2:
            choices.append((x - width / 2, "center"))
        for left, align in choices:
            box = Box(left, middle - HEIGHT / 2, left + width, middle + HEIGHT / 2)
            found.append((math.dist(point, box.nearest(x, y)), box, align))
    found.sort(key=lambda item: item[0])
    yield from ((box, align) for _, box, align in found)
