"""Published sets of corrupted images, CIFAR-10-C and CIFAR-100-C, as one table.

The hub has them as ``robro/cifar10-c-parquet`` and ``robro/cifar100-c-parquet``: configuration
``default``, split ``train`` (there is no other, although these are test images), and in a mirror
therefore ``robro/cifar10-c-parquet/default/train.parquet``. Columns: ``image``, ``label``,
``corruption_name`` and ``corruption_level`` 1 … 5. Every corruption and level has all images of the
clean test split, in its order: that is how a corrupted image is known to belong to a clean one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from kdbench.errors import DataError
from kdbench.tasks.dataset import ImageExamples, to_examples
from kdbench.tasks.sources import Located
from kdbench.tasks.spec import Columns, ImageFormat, RawLabel

CORRUPTION_COLUMN = "corruption_name"
SEVERITY_COLUMN = "corruption_level"


@dataclass(frozen=True)
class PreparedSet:
    """A published set, of which no more is read than is asked for: whole, it has 950,000 images.

    Attributes:
        located: where it is.
        columns: of image and label.
        labels: class names in the order of their indices.
        label_map: raw label -> class name.
    """

    located: Located
    columns: Columns
    labels: Sequence[str]
    label_map: Mapping[RawLabel, str]

    def pixels(
        self, corruption: str, severity: int, clean: ImageExamples, rows: np.ndarray, form: ImageFormat
    ) -> np.ndarray:
        """The corrupted counterparts of some clean images.

        Args:
            clean: the whole clean split.
            rows: ``(n,)`` row numbers in it.

        Returns:
            ``(n, size, size, channels)`` uint8.

        Raises:
            DataError: the set lacks this corruption or severity, or is not in the order of the clean split.
        """
        where = f"{self._where}, {corruption} {severity}"
        table = self._read(corruption, severity)
        if not len(table):
            raise DataError(f"{where}: the set has no such rows")
        examples = to_examples(table, self.columns, self.labels, dict(self.label_map), where)
        assert isinstance(examples, ImageExamples)
        if not np.array_equal(examples.labels, clean.labels):
            raise DataError(f"{where}: {len(examples)} images that are not the reported split's {len(clean)} in order")
        return examples.take(rows).pixels(form)

    @property
    def _where(self) -> str:
        return str(self.located.path or self.located.source.describe(self.located.split))

    def _read(self, corruption: str, severity: int) -> Any:
        """A data frame of one corruption at one severity."""
        import pyarrow as pa
        import pyarrow.compute as pc

        data = self._data
        wanted = [*self.columns.inputs, self.columns.label, CORRUPTION_COLUMN, SEVERITY_COLUMN]
        lacking = [column for column in wanted if column not in data.schema.names]
        if lacking:
            raise DataError(f"{self._where}: has no column {', '.join(lacking)}; it has {', '.join(data.schema.names)}")
        these = (pc.field(CORRUPTION_COLUMN) == corruption) & (pc.field(SEVERITY_COLUMN) == severity)
        try:
            return data.to_table(columns=wanted[:-2], filter=these).to_pandas()
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self._where}: cannot be read: {error}") from error

    @cached_property
    def _data(self) -> Any:
        """An Arrow dataset: of the file, or of what the hub's client keeps on disk."""
        import pyarrow as pa
        import pyarrow.dataset

        if self.located.missing:
            raise DataError(self.located.missing)
        if self.located.path is None:
            return pyarrow.dataset.dataset(self._load_hub())
        try:
            return pyarrow.dataset.dataset(self.located.path, format="parquet")
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self._where}: is not a parquet file: {error}") from error

    def _load_hub(self) -> Any:
        import datasets

        source = self.located.source
        datasets.disable_progress_bars()
        try:
            data = datasets.load_dataset(source.hub, source.config, revision=source.revision, split=self.located.split)
        except Exception as error:  # datasets raises a dozen unrelated classes here
            raise DataError(f"{self._where}: the hub did not deliver it: {type(error).__name__}: {error}") from error
        return data.data.table
