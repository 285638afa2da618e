"""``kdbench leaderboard``: what it prints, writes and exits with."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kdbench.bundles.archive import unpack
from kdbench.store import Store
from tests.bundles.forger import Forger
from tests.bundles.tiny_run import bundle_of, finished_store, only_manifest
from tests.cli.conftest import Cli


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return finished_store(tmp_path_factory.getbasetemp())


@pytest.fixture
def forged(store: Store, tmp_path: Path) -> Path:
    """A bundle's directory with an edited accuracy."""
    folder = tmp_path / "forged"
    folder.mkdir()
    unpack(bundle_of(store), folder)
    forger = Forger(folder)
    forger.edit(forger.key("kd", 1, "in_domain"), lambda record: record["metrics"].update(accuracy=0.99))
    return forger.seal()


def test_export_verify_merge_report(cli: Cli, store: Store, tmp_path: Path) -> None:
    """The way of a third party's results, and the name of a bundle that nobody named."""
    exported = cli("leaderboard", "export", "--suite", "tiny", "--store", store.root)
    name = f"tiny-quick-{only_manifest(store).version}.tar.xz"
    cells = len(list(store.root.glob("cells/*/*")))
    assert exported.code == 0 and re.fullmatch(rf"{name}: 0\.\d\d MB, {cells} cells of tiny\n", exported.out)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    verified = cli("leaderboard", "verify", name)
    assert verified.code == 0 and verified.out.splitlines()[-1] == "everything matches"
    assert re.search(rf"^verified {cells} cells, \d+ numbers recomputed$", verified.out, re.MULTILINE)
    merged = cli("leaderboard", "merge", name, "--store", "joined")
    assert merged.code == 0 and f"added {cells} cells, had 0" in merged.out
    assert f"kdbench report --suite tiny --budget quick --version {only_manifest(store).version}" in merged.out
    assert len(list((tmp_path / "joined").glob("cells/*/*"))) == cells


def test_export_of_an_unfinished_suite_says_so(cli: Cli, store: Store, tmp_path: Path) -> None:
    unpack(bundle_of(store), tmp_path / "part")
    forger = Forger(tmp_path / "part")
    for evaluation in ("attack", "quality"):
        forger.remove(forger.key("kd", 1, evaluation))
    (forger.folder / "bundle.json").unlink()
    exported = cli("leaderboard", "export", "--suite", "tiny", "--store", "part", "--out", "b/part.tar.xz")
    assert exported.code == 0 and "not whole: 2 cells have not finished" in exported.out
    verified = cli("leaderboard", "verify", "b/part.tar.xz")
    assert verified.code == 0 and "not finished: tiny, tiny-l4-l2: kd (2)" in verified.out


def test_verify_names_what_does_not_match(cli: Cli, store: Store, forged: Path) -> None:
    result = cli("leaderboard", "verify", store.root, forged)
    assert result.code == 1 and "1 findings" in result.out
    line = next(line for line in result.out.splitlines() if line.startswith("- "))
    assert line.startswith("- kd on sentences, tiny-l4-l2, seed 1, in_domain sentences, cells/")
    assert "accuracy: stated 0.99, should be 0." in line


def test_verify_as_json(cli: Cli, forged: Path) -> None:
    result = cli("leaderboard", "verify", forged, "--json")
    (source,) = json.loads(result.out)
    (finding,) = source["findings"]
    assert result.code == 1 and source["cells"] > 0
    assert (finding["name"], finding["stated"]) == ("accuracy", 0.99) and finding["expected"] < 0.99


def test_merge_refuses_what_has_findings(cli: Cli, store: Store, forged: Path, tmp_path: Path) -> None:
    result = cli("leaderboard", "merge", bundle_of(store), forged, "--store", "joined")
    assert result.code == 1 and "accuracy: stated 0.99" in result.out
    assert "refused: nothing was added to any leaderboard" in result.out
    assert not (tmp_path / "joined").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["export"], "Error: Missing option '--suite'."),
        (["export", "--suite", "tiny"], "error: .kdbench/store: holds no run of suite tiny"),
        (["verify"], "Error: Missing argument 'PATH…'."),
        (["verify", "none.tar.xz"], "error: none.tar.xz: no such bundle or store"),
        (["merge", "none.tar.xz"], "Error: Missing option '--store'."),
        (["merge", "none.tar.xz", "--store", "new"], "error: none.tar.xz: no such bundle or store"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_bad_input(cli: Cli, tmp_path: Path, arguments: list[str], expected: str) -> None:
    result = cli("leaderboard", *arguments)
    assert result.code == 2 and result.out == ""
    assert result.err.splitlines()[-1].startswith(expected)
    assert not list(tmp_path.iterdir()), "nothing was written"


def test_bundle_needs_its_suffix(cli: Cli, store: Store) -> None:
    result = cli("leaderboard", "export", "--suite", "tiny", "--store", store.root, "--out", "b.zip")
    assert result.code == 2 and result.err == "error: b.zip: the name of a bundle ends with .tar.xz\n"
