"""How adversarial texts are searched for: what attacks on classifiers and on readers have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from kdbench.attacks.memo import Memo


class SearchSettings(TypedDict):
    """Keyword arguments of a search.

    Attributes:
        query_budget: most queries per example, counted as in :class:`kdbench.attacks.outcomes.AttackOutcome`; at
            least 2.
        seed: root of the examples' seeds.
        directories: asset folders, see :func:`kdbench.attacks.assets.missing_assets`; none unless told.
        progress: called with the number of finished examples after each one.
        memo: work shared with other victims; saved at the end. Forgotten unless told.
        lanes: how many examples are attacked at once, 256 unless told; outcomes do not depend on it.
    """

    query_budget: int
    seed: int
    directories: NotRequired[Sequence[Path]]
    progress: NotRequired[Callable[[int], None]]
    memo: NotRequired[Memo]
    lanes: NotRequired[int]
