"""Studies: reports that answer one question beyond the leaderboard, computed from the same records."""

from __future__ import annotations

from kdbench.errors import ReportError
from kdbench.reports.studies.base import Study
from kdbench.reports.studies.capacity_gap import capacity_gap
from kdbench.reports.studies.checkpoint_search import checkpoint_search
from kdbench.reports.studies.evidence import Evidence
from kdbench.reports.table import Leaderboard
from kdbench.store import Store

STUDIES = {"checkpoint-search": checkpoint_search, "capacity-gap": capacity_gap}


def build_study(store: Store, board: Leaderboard) -> Study | None:
    """The study that the suite is about; nothing for most suites.

    Raises:
        ReportError: the manifest names a study that this version does not know.
    """
    name = board.manifest.study
    if not name:
        return None
    if name not in STUDIES:
        raise ReportError(f"suite {board.manifest.suite}: unknown study '{name}' (known: {', '.join(STUDIES)})")
    return STUDIES[name](Evidence(store, board))
