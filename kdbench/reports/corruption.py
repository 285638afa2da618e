"""The mean corruption error, which compares two models and so is computed when both are there: at report time."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any, cast

from kdbench.manifest import Manifest
from kdbench.record import Record
from kdbench.rows import TEACHER, Row
from kdbench.stats.corruption import mean_corruption_error

REFERENCE = "finetune"
"""In the place that AlexNet has in Hendrycks & Dietterich (ICLR 2019): the student without a teacher."""


def corruption_errors(
    manifest: Manifest, records: Mapping[str, Record], rows: list[Row]
) -> dict[str, list[float | None]]:
    """``mce`` of each row, relative to ``finetune`` of the same pair, task, set and seed.

    The teacher has a seed of its own: it is compared with every seed of ``finetune``, and the mean is given.

    Args:
        manifest: where the places of ``finetune`` are looked up.
        records: the finished cells, by key.
        rows: ``corruption`` rows of one method on one set.

    Returns:
        Nothing where ``finetune`` was not asked for; nothing for a row when one of the two cells is
        missing, or ``finetune`` never fails.
    """
    first = rows[0]
    place = (first.pair, first.task, REFERENCE, first.evaluation, first.dataset)
    references = {
        row.seed: row.key
        for row in manifest.rows
        if (row.pair, row.task, row.method, row.evaluation, row.dataset) == place
    }
    errors = []
    for row in rows:
        others = list(references.values()) if row.method == TEACHER else [references.get(row.seed, "")]
        known = all(key in records for key in (row.key, *others))
        error = statistics.fmean(_error(records, row.key, key) for key in others) if known else math.nan
        errors.append(None if math.isnan(error) else error)
    return {"mce": errors} if references else {}


def _error(records: Mapping[str, Record], key: str, reference: str) -> float:
    tables = [cast(Any, records[k].details["accuracy"]) for k in (key, reference)]
    return mean_corruption_error(*tables)
