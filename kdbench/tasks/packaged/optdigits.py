"""The 1,797 handwritten digits of 8 x 8 pixels that scikit-learn ships (UCI Optdigits, Alpaydin & Kaynak, 1998)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from kdbench.tasks.packaged.base import PackagedSource, Tables


def _parse(_: Path) -> Tables:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    yield "digits", "test", pd.DataFrame({"image": [image.tolist() for image in images], "label": bunch.target})


SOURCE = PackagedSource(distribution="scikit-learn", version="optdigits", sha256="", configs=("digits",), parse=_parse)
