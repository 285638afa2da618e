"""Digests: canonical, independent of process and order, sensitive to every value."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdbench.hashing import canonical_json, derive_seed, digest, file_digest, unit_hash

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(_json)
def test_canonical_json_is_json_without_loss(value: object) -> None:
    """Reading it gives the value back, and writing that gives the same text."""
    text = canonical_json(value)
    assert json.loads(text) == value and canonical_json(json.loads(text)) == text


def test_canonical_json_by_hand() -> None:
    """Sorted keys, no spaces, letters as they are."""
    assert canonical_json({"b": [1, 2.0, None], "a": "é"}) == '{"a":"é","b":[1,2.0,null]}'
    assert digest({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    """Of keys; that of lists does."""
    assert digest(value) == digest(dict(reversed(value.items())))
    assert digest([1, 2]) != digest([2, 1])


@pytest.mark.parametrize("pair", [(1, 1.0), (1, "1"), (0, False), (None, 0), ("", None), ([], {}), ("1e3", 1000.0)])
def test_values_of_other_types_have_other_digests(pair: tuple[object, object]) -> None:
    """Also where Python calls them equal."""
    assert digest({"x": pair[0]}) != digest({"x": pair[1]})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, float("-inf")]])
def test_what_has_no_json_is_refused(value: object) -> None:
    """Instead of an identity that no other program can read."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


def test_file_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    """Whatever the name."""
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert file_digest(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


@given(st.text(), st.lists(st.text(), min_size=1, max_size=3))
def test_coins_lie_in_the_unit_interval_and_depend_on_salt_and_content(salt: str, parts: list[str]) -> None:
    """And on nothing else."""
    coin = unit_hash(salt, parts)
    assert 0 <= coin < 1 and coin == unit_hash(salt, list(parts))
    assert coin != unit_hash(salt + "x", parts) and coin != unit_hash(salt, [*parts, "x"])


def test_coins_are_uniform() -> None:
    """Tenths of 20 000 coins, within four standard errors."""
    coins = np.array([unit_hash("salt", [str(i)]) for i in range(20_000)])
    shares = np.histogram(coins, bins=10, range=(0, 1))[0] / 20_000
    assert np.abs(shares - 0.1).max() < 4 * (0.09 / 20_000) ** 0.5


def test_seeds_are_63_bits_and_differ_with_every_part() -> None:
    """Any plain values; ``("ab",)`` is not ``("a", "b")``."""
    seeds = [derive_seed("a", "b"), derive_seed("ab"), derive_seed("a", 1), derive_seed("a", 2), derive_seed(1, "a")]
    assert len(set(seeds)) == 5 and all(0 <= seed < 2**63 for seed in seeds)


def test_everything_is_the_same_in_another_process() -> None:
    """Python's own hash is salted anew in each."""
    code = (
        "from kdbench.hashing import *; "
        "print(digest({'b': {'y': 1}, 'a': [2]}), unit_hash('s', ['t']), derive_seed('a', 3))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    here = f"{digest({'a': [2], 'b': {'y': 1}})} {unit_hash('s', ['t'])} {derive_seed('a', 3)}\n"
    assert outputs == {here}
