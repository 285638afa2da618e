"""Downloads of assets, from a real server on this machine: complete, checked and never executed, or not at all."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import threading
import zipfile

import pytest

from kdbench.attacks import assets, downloads
from kdbench.attacks.asset_sources import Download, asset_sources
from kdbench.attacks.spec import ATTACKS, AttackSpec
from kdbench.errors import DataError
from kdbench.fetch import fetch_suite
from kdbench.locations import Locations
from kdbench.suite import load_suite

pytestmark = pytest.mark.xdist_group("textattack")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_args):
        pass


@pytest.fixture
def server(tmp_path):
    """A folder, and the address at which its files are served."""
    folder = tmp_path / "site"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def archive(members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    return content.getvalue()


def test_a_file_and_an_archive(server, tmp_path):
    site, address = server
    target = tmp_path / "assets"
    (site / "table.txt").write_text("a b")
    (site / "vectors").write_bytes(archive({"vectors/a.npy": "1", "vectors/b.npy": "2", "other/c": "3"}))
    known = hashlib.sha256(b"a b").hexdigest()
    downloads.download(Download(url=f"{address}/table.txt", holds=["here/table.txt"], sha256=known), target)
    source = Download(url=f"{address}/vectors", into="in", holds=["in/vectors/a.npy"], unpack=True)
    downloads.download(source, target)
    assert (target / "here/table.txt").read_text() == "a b" and (target / "in/vectors/b.npy").read_text() == "2"
    assert sorted(path.name for path in target.iterdir()) == [downloads.RECORD, "here", "in"]
    assert not (target / "in/other").exists()
    record = json.loads((target / downloads.RECORD).read_text())
    assert record == {
        f"{address}/table.txt": known,
        f"{address}/vectors": hashlib.sha256((site / "vectors").read_bytes()).hexdigest(),
    }
    (site / "vectors").unlink()
    downloads.download(source, target)  # what is there is not asked for again


@pytest.mark.parametrize(
    ("content", "settings", "reason"),
    [
        (None, {}, "the server did not deliver it: HTTP Error 404"),
        (b"x", {"sha256": "0" * 64}, "has SHA-256 2d711642.*: it changed, or was damaged"),
        (b"x", {"unpack": True}, "is no zip archive"),
        (archive({"other": ""}), {"unpack": True}, "the archive lacks a/file"),
        (archive({"../a/file": "x", "a/file": "y"})[:-40], {"unpack": True}, "is no zip archive"),
    ],
    ids=["absent", "changed", "no archive", "another archive", "cut off"],
)
def test_what_cannot_be_had_leaves_nothing_behind(server, tmp_path, content, settings, reason):
    site, address = server
    if content is not None:
        (site / "file").write_bytes(content)
    with pytest.raises(DataError, match=f"{address}/file: {reason}"):
        downloads.download(Download(url=f"{address}/file", holds=["a/file"], **settings), tmp_path / "assets")
    assert not list((tmp_path / "assets").iterdir())


def test_an_archive_cannot_write_elsewhere(server, tmp_path):
    site, address = server
    (site / "evil").write_bytes(archive({"../../outside": "x", "a/file": "y"}))
    target = tmp_path / "deep" / "assets"
    downloads.download(Download(url=f"{address}/evil", holds=["a/file"], unpack=True), target)
    assert not list(tmp_path.rglob("outside")) and (target / "a/file").read_text() == "y"


def test_a_server_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"the server did not deliver it: .*refused"):
        downloads.download(Download(url="http://127.0.0.1:9/file", holds=["file"]), tmp_path)


def test_only_the_web_is_asked():
    with pytest.raises(ValueError, match="url"):
        Download(url="file:///etc/passwd", holds=["x"])


def test_every_need_has_a_source():
    needs = {need for name in ATTACKS.names() for need in ATTACKS.get(name).needs} - {"gradients"}
    assert needs == set(asset_sources())


@pytest.fixture
def suite(tmp_path):
    from tests.conftest import write_suite

    path = tmp_path / "tiny.yaml"
    write_suite(path, attack="attack: {attacks: [textbugger, pwws]}")
    return load_suite(str(path))


def fetched(suite, target, **options):
    items = fetch_suite(suite, target, Locations(offline=options.pop("offline", False)), **options)
    return {(item.kind, item.name): item for item in items if item.kind in ("asset", "attack")}


def test_fetch_brings_what_it_can_and_says_why_not(server, suite, tmp_path, monkeypatch):
    """Into the asset folder of the new mirror; the rest with the reason, attack by attack."""
    site, address = server
    (site / "table").write_text("# table\n")
    source = asset_sources()["homoglyphs"]
    mirrored = source.downloads[0].model_copy(update={"url": f"{address}/table", "sha256": ""})
    gone = asset_sources()["counterfitted"].downloads[0].model_copy(update={"url": f"{address}/gone"})
    monkeypatch.setitem(asset_sources(), "homoglyphs", source.model_copy(update={"downloads": (mirrored,)}))
    vectors = asset_sources()["counterfitted"].model_copy(update={"downloads": (gone,)})
    monkeypatch.setitem(asset_sources(), "counterfitted", vectors)

    assert fetched(suite, tmp_path / "a", attacks=("pwws",)).keys() == {("attack", "pwws")}
    offline = fetched(suite, tmp_path / "b", offline=True)
    assert offline.keys() == {("attack", "textbugger"), ("attack", "pwws")}
    assert "homoglyph table: kdbench fetch, or put" in offline["attack", "textbugger"].problem

    found = fetched(suite, tmp_path / "c")
    resources = tmp_path / "c" / "data" / "resources"
    assert found["asset", "homoglyph table"].status == "fetched"
    assert assets.find_homoglyphs([resources]) == resources / "intentional_homoglyphs.txt"
    problem = found["attack", "textbugger"].problem
    assert "homoglyph" not in problem and "Universal Sentence Encoder: pip install tensorflow" in problem
    assert f"{address}/gone: the server did not deliver it: HTTP Error 404" in problem
    assert found["attack", "pwws"].status == "there"


def test_models_are_fetched_from_the_hub(suite, tmp_path, monkeypatch):
    """Here the hub does not answer: the reason is said, and no half of a model stays."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    spec = AttackSpec(name="x", recipe="m:f", models=["acme/masked"])
    found = fetched(suite.model_copy(update={"attacks": {"x": spec}}), tmp_path / "kit")
    assert (
        found["attack", "x"].status == "missing"
        and "acme/masked: the hub did not deliver it" in found["attack", "x"].problem
    )
    assert not list((tmp_path / "kit").rglob("masked*"))
