"""Downloads of assets, from a real server on this machine: complete, checked and never executed, or not at all."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import shutil
import threading
import zipfile

import pytest
from safetensors.torch import load_file

from kdbench.attacks import assets, downloads
from kdbench.attacks.asset_sources import Download, asset_sources
from kdbench.attacks.spec import ATTACKS, AttackSpec
from kdbench.errors import DataError
from kdbench.fetch import fetch_suite
from kdbench.locations import Locations
from kdbench.suite import QualitySettings, load_suite
from tests.attacks.test_attack_quality import save_model

pytestmark = pytest.mark.xdist_group("textattack")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Of a file called ``half`` the first two bytes are sent, and the length of the whole."""

    def log_message(self, *_args):
        pass

    def copyfile(self, source, outputfile):
        outputfile.write(source.read(2 if self.path == "/half" else -1))


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


def deflated(damage):
    """A compressed archive that ``damage`` changes in place."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a/file", "words " * 100)
    changed = bytearray(content.getvalue())
    damage(changed, changed.index(b"PK\x01\x02"))
    return bytes(changed)


def scrambled(content, directory):
    content[36] = 0xFF  # the first byte of the compressed data


def encrypted(content, directory):
    content[6] |= 1
    content[directory + 8] |= 1


def of_unknown_kind(content, directory):
    content[8] = content[directory + 10] = 77


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
        (None, {}, "cannot be downloaded: HTTP Error 404"),
        (b"x", {"sha256": "0" * 64}, "has SHA-256 2d711642.*: it changed, or was damaged"),
        (b"x", {"unpack": True}, "cannot be unpacked: File is not a zip file"),
        (archive({"other": ""}), {"unpack": True}, "the archive lacks a/file"),
        (archive({"../a/file": "x", "a/file": "y"})[:-40], {"unpack": True}, "cannot be unpacked"),
        (deflated(scrambled), {"unpack": True}, "cannot be unpacked: Error -3 while decompressing"),
        (deflated(encrypted), {"unpack": True}, "cannot be unpacked: .* is encrypted"),
        (deflated(of_unknown_kind), {"unpack": True}, "cannot be unpacked: .* not supported"),
    ],
    ids=["absent", "changed", "no archive", "another archive", "cut off", "scrambled", "encrypted", "unknown"],
)
def test_what_cannot_be_had_leaves_nothing_behind(server, tmp_path, content, settings, reason):
    site, address = server
    if content is not None:
        (site / "file").write_bytes(content)
    with pytest.raises(DataError, match=f"{address}/file: {reason}"):
        downloads.download(Download(url=f"{address}/file", holds=["a/file"], **settings), tmp_path / "assets")
    assert not list((tmp_path / "assets").iterdir())


def test_half_a_file_is_not_stored(server, tmp_path):
    site, address = server
    (site / "half").write_text("whole")
    with pytest.raises(DataError, match=r"/half: cannot be downloaded: the connection ended after 2 of 5 bytes"):
        downloads.download(Download(url=f"{address}/half", holds=["file"]), tmp_path / "assets")
    assert not list((tmp_path / "assets").iterdir())


def test_what_is_there_is_left_alone(server, tmp_path):
    """A person's own files in a folder that an archive has, too."""
    site, address = server
    (site / "archive").write_bytes(archive({"a/one": "new", "a/deep/two": "new", "a/three": "new"}))
    mine = tmp_path / "assets" / "a"
    mine.mkdir(parents=True)
    (mine / "one").write_text("mine")
    (mine / "notes").write_text("mine")
    source = Download(url=f"{address}/archive", holds=["a/one", "a/three"], unpack=True)
    downloads.download(source, mine.parent)
    found = {str(path.relative_to(mine)): path.read_text() for path in mine.rglob("*") if path.is_file()}
    assert found == {"one": "mine", "notes": "mine", "three": "new", "deep/two": "new"}


def test_what_an_archive_holds_lies_in_folders():
    """Without one, everything in the asset folder would be the archive's."""
    with pytest.raises(ValueError, match="must name a folder of each file"):
        Download(url="https://x", holds=["a/one", "two"], unpack=True)


def test_a_place_that_cannot_be_written(server, tmp_path):
    site, address = server
    (site / "file").write_text("x")
    (tmp_path / "taken").touch()
    for folder, name in ((tmp_path / "taken", "file"), (tmp_path, "taken/file")):
        with pytest.raises(DataError, match=f"{folder}: cannot be written: "):
            downloads.download(Download(url=f"{address}/file", holds=[name]), folder)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_record_is_begun_anew(server, tmp_path, content):
    site, address = server
    (site / "file").write_text("x")
    (tmp_path / downloads.RECORD).write_text(content)
    downloads.download(Download(url=f"{address}/file", holds=["file"]), tmp_path)
    assert list(json.loads((tmp_path / downloads.RECORD).read_text())) == [f"{address}/file"]


def test_an_archive_cannot_write_elsewhere(server, tmp_path):
    site, address = server
    (site / "evil").write_bytes(archive({"../../outside": "x", "a/file": "y"}))
    target = tmp_path / "deep" / "assets"
    downloads.download(Download(url=f"{address}/evil", holds=["a/file"], unpack=True), target)
    assert not list(tmp_path.rglob("outside")) and (target / "a/file").read_text() == "y"


def test_a_server_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"cannot be downloaded: .*refused"):
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
    assert f"{address}/gone: cannot be downloaded: HTTP Error 404" in problem
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


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder of models that stands for the hub; as of models that are there as pickles, no weights are delivered."""
    home = tmp_path / "hub"
    home.mkdir()
    monkeypatch.chdir(home)  # where transformers looks for a model before it asks the hub

    def deliver(hub_id, *, local_dir, **_settings):
        local_dir.mkdir(parents=True)
        shutil.copyfile(home / hub_id / "config.json", local_dir / "config.json")

    monkeypatch.setattr("huggingface_hub.snapshot_download", deliver)
    return home


@pytest.mark.parametrize("likelihood", ["causal", "masked"])
def test_the_language_model_of_quality_is_fetched_with_its_head(suite, hub, tmp_path, likelihood):
    """Where a task has texts."""
    save_model(hub / "lab" / "lm", likelihood)
    settings = QualitySettings(language_model={"hub": "lab/lm"}, likelihood=likelihood)
    suite = suite.model_copy(
        update={"evaluations": suite.evaluations.model_copy(update={"quality": settings}), "attacks": {}}
    )
    (item,) = fetch_suite(suite, tmp_path / "kit", Locations())
    assert (item.kind, item.name, item.status) == ("model", "lab/lm", "fetched")
    kept = [load_file(folder / "model.safetensors") for folder in (hub / "lab/lm", tmp_path / "kit/models/lab/lm")]
    assert kept[0].keys() == kept[1].keys()
    assert not list(fetch_suite(suite, tmp_path / "other", Locations(), tasks=("none",)))


def test_half_a_model_makes_room(suite, hub, tmp_path):
    """A folder without weights is no model, and in nobody's way."""
    save_model(hub / "acme" / "masked", "masked")
    half = tmp_path / "kit" / "data" / "resources" / "acme" / "masked"
    half.mkdir(parents=True)
    (half / "config.json").write_text("{}")
    spec = AttackSpec(name="x", recipe="m:f", models=["acme/masked"])
    found = fetched(suite.model_copy(update={"attacks": {"x": spec}}), tmp_path / "kit")
    assert found["attack", "x"].status == "there" and assets.find_model("acme/masked", [half.parents[1]]) == half


def test_a_mirror_that_cannot_be_written(suite, hub, tmp_path):
    """What cannot be stored is missing for a reason; no traceback."""
    save_model(hub / "acme" / "masked", "masked")
    resources = tmp_path / "kit" / "data" / "resources"
    (resources / "acme").mkdir(parents=True)
    for taken in (resources / "acme" / "masked", tmp_path / "kit" / "models"):
        taken.touch()
    spec = AttackSpec(name="x", recipe="m:f", models=["acme/masked"])
    settings = QualitySettings(language_model={"hub": "acme/masked"}, likelihood="masked")
    evaluations = suite.evaluations.model_copy(update={"quality": settings})
    suite = suite.model_copy(update={"attacks": {"x": spec}, "evaluations": evaluations})
    items = {item.kind: item for item in fetch_suite(suite, tmp_path / "kit", Locations(models=(hub,)))}
    assert items["model"].status == items["attack"].status == "missing"
    assert "Not a directory" in items["model"].problem and "Not a directory" in items["attack"].problem
    (tmp_path / "more" / "resources" / "acme" / "masked").mkdir(parents=True)
    with pytest.raises(DataError, match=f"{resources}: cannot be written: "):
        list(fetch_suite(suite, tmp_path / "kit", Locations(data=(tmp_path / "more",))))
