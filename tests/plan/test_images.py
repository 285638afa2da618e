"""Plans with images: which pairs go with which tasks, budgets of their own, and evaluations that texts do not have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdbench.corruptions import COMPUTED
from kdbench.corruptions.library import library_version, missing_library
from kdbench.errors import KDBenchError, MethodError, SuiteError
from kdbench.locations import Locations
from kdbench.plan import Cell, Plan, PlanError, Selection, make_plan
from kdbench.suite import load_suite
from tests.plan.tiny import Change, write_suite

DIGITS = {"pypi": "scikit-learn", "config": "digits"}
FORMAT = {"size": 8, "channels": 1, "mean": [0.3], "std": [0.4], "crop": 1}
PGD = {"name": "pgd", "kind": "image", "norm": "Linf", "epsilon": 0.1, "members": [{"algorithm": "pgd", "steps": 2}]}
PAIRS = ["tiny-l4-l2", "digits-resnet14-resnet8"]
SUITE: dict[str, Any] = {
    "name": "both",
    "tasks": [
        {
            "name": "mood",
            "source": {"files": {"train": "train.csv", "validation": "train.csv"}},
            "columns": {"text": "text"},
            "labels": ["bad", "good"],
        },
        {
            "name": "digits",
            "kind": "image-classification",
            "source": DIGITS,
            "splits": {"train": "test", "evaluation": "test"},
            "columns": {"image": "image"},
            "labels": list("0123456789"),
            "image": FORMAT,
        },
    ],
    "pairs": PAIRS,
    "methods": ["kd"],
    "seeds": [1],
    "budget": "quick",
    "budgets": {"quick": {"epochs": 2, "teacher_epochs": 3, "precision": "fp32"}},
    "evaluations": {"attack": {"attacks": [{"name": "a", "recipe": "m:f"}, PGD], "examples": 10}},
}
MakePlan = Callable[..., Plan]


@pytest.fixture
def plan(tmp_path: Path) -> MakePlan:
    """Plans the suite with a change."""

    def make(change: Change = lambda _: None, selection: Selection | None = None, **locations: Any) -> Plan:
        suite = load_suite(write_suite(tmp_path, change, SUITE))
        return make_plan(suite, selection or Selection(), Locations(**locations))

    return make


def _trained(made: Plan, task: str) -> dict[str, Cell]:
    """Cells of a task's trained models by method."""
    return {row.method: made.cells[row.key] for row in made.rows if row.task == task and not row.evaluation}


def _evaluations(made: Plan, task: str, method: str) -> dict[str, Cell]:
    """Evaluation cells of one method's model by ``evaluation/name``."""
    rows = [row for row in made.rows if (row.task, row.method) == (task, method) and row.evaluation]
    return {f"{row.evaluation}/{row.dataset}": made.cells[row.key] for row in rows}


# --- what goes with what --------------------------------------------------------------------------


def test_tasks_go_with_pairs_and_attacks_of_their_own_modality(plan: MakePlan) -> None:
    """Nothing crosses over, and a suite may hold both."""
    made = plan()
    assert {(row.task, row.pair) for row in made.rows} == {("mood", PAIRS[0]), ("digits", PAIRS[1])}
    attacked = {(row.task, row.dataset) for row in made.rows if row.evaluation == "attack"}
    assert attacked == {("mood", "a"), ("digits", "pgd")}
    assert not made.skipped


@pytest.mark.parametrize(("task", "pair"), [("digits", PAIRS[0]), ("mood", PAIRS[1])])
def test_a_choice_in_which_nothing_fits_is_an_error(plan: MakePlan, task: str, pair: str) -> None:
    """It says what each is for."""
    with pytest.raises(PlanError, match=rf"no pair goes with a task: {pair} is for \w+; {task} is \w+"):
        plan(selection=Selection(tasks=(task,), pairs=(pair,)))


def test_a_training_on_images_is_described_by_its_format_not_by_a_length(plan: MakePlan) -> None:
    """Changing how pixels are read changes image cells, and no others."""
    before = plan()
    after = plan(lambda suite: suite["tasks"][1].update(image={**FORMAT, "crop": 2}))
    assert _trained(before, "digits")["kd"].spec["task"]["image"]["crop"] == 1
    assert "max_length" not in _trained(before, "digits")["kd"].spec["task"]
    for method in ("teacher", "finetune", "kd"):
        assert _trained(before, "mood")[method].key == _trained(after, "mood")[method].key
        assert _trained(before, "digits")[method].key != _trained(after, "digits")[method].key


def test_an_image_attack_has_no_query_budget_and_a_text_attack_no_norm(plan: MakePlan) -> None:
    """Each cell names what matters to it."""
    made = plan()
    text, image = (
        _evaluations(made, task, "kd")[f"attack/{name}"] for task, name in (("mood", "a"), ("digits", "pgd"))
    )
    assert {"query_budget", "perturb"} <= text.spec.keys() and not {"query_budget", "perturb"} & image.spec.keys()
    assert image.spec["attack"]["epsilon"] == 0.1 and image.spec["examples"] == 10


def test_speed_is_measured_on_tokens_or_on_images(plan: MakePlan) -> None:
    """A length means nothing to images."""
    made = plan()
    assert _evaluations(made, "mood", "kd")["efficiency/mood"].spec["tokens"] == 32
    assert "tokens" not in _evaluations(made, "digits", "kd")["efficiency/digits"].spec


# --- budgets --------------------------------------------------------------------------------------


def _budget(**changes: Any) -> Change:
    return lambda suite: suite["budgets"]["quick"].update(changes)


def test_what_a_budget_says_of_images_reaches_image_cells_only(plan: MakePlan) -> None:
    """And stands in for the rest of the budget there."""
    own = {"optimizer": "sgd", "schedule": "step", "batch_size": 9, "epochs": 4, "teacher_epochs": 5}
    before, after = plan(), plan(_budget(images=own))
    for method, cell in _trained(after, "digits").items():
        assert {name: cell.spec["budget"][name] for name in ("optimizer", "schedule", "batch_size")} == {
            name: own[name] for name in ("optimizer", "schedule", "batch_size")
        }
        assert cell.spec["budget"]["epochs" if method != "teacher" else "teacher_epochs"] in (4, 5)
        assert "images" not in cell.spec["budget"] and cell.key != _trained(before, "digits")[method].key
        assert _trained(after, "mood")[method].key == _trained(before, "mood")[method].key
    assert before.version != after.version, "one leaderboard has one budget"


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({"batch_sice": 3}, "images: batch_sice: unknown key; did you mean 'batch_size'"),
        ({"epochs": -1}, "images: epochs: Input should be greater than 0"),
        ({"images": {}}, "images: images cannot differ from the rest of the budget"),
        ({"seeds": [4], "paper": True}, "images: paper, seeds cannot differ from the rest of the budget"),
    ],
)
def test_impossible_budgets_of_images(plan: MakePlan, images: dict[str, Any], message: str) -> None:
    """Named with the place and the key."""
    with pytest.raises(SuiteError, match=message):
        plan(_budget(images=images))


def test_a_budget_names_the_tasks_and_pairs_it_is_meant_for(plan: MakePlan) -> None:
    """Unless others are asked for; names that the suite has not are refused."""
    narrow = _budget(tasks=["digits"], pairs=[PAIRS[1]])
    assert {row.task for row in plan(narrow).rows} == {"digits"}
    asked = Selection(tasks=("mood",), pairs=(PAIRS[0],))
    assert {row.task for row in plan(narrow, asked).rows} == {"mood"}
    refused = [(_budget(tasks=["dgits"]), "task 'dgits'"), (_budget(pairs=["x"]), "pair 'x'")]
    for change, kind in (*refused, (_budget(attacks=["x"]), "attack 'x'")):
        with pytest.raises(SuiteError, match=f"budget quick is meant for {kind}, which the suite has not"):
            plan(change)


# --- methods --------------------------------------------------------------------------------------


def _methods(*methods: Any) -> Change:
    return lambda suite: suite.update(methods=list(methods))


def test_every_checkpoint_gives_one_method_for_each(plan: MakePlan) -> None:
    """Where teachers of images leave more checkpoints than those of texts, the later ones are for images only."""
    entry = {"name": "ck", "method": "checkpoint-kd", "every_checkpoint": True, "config": {"temperature": 3.0}}

    def change(suite: dict[str, Any]) -> None:
        suite["methods"] = ["kd", entry]
        suite["budgets"]["quick"]["images"] = {"checkpoints": 5}

    made = plan(change)
    assert list(made.methods) == ["finetune", "kd", "ck-0", "ck-1", "ck-2", "ck-3", "ck-4"]
    text, image = _trained(made, "mood"), _trained(made, "digits")
    assert [name for name in text if name.startswith("ck")] == ["ck-0", "ck-1", "ck-2"]
    assert [name for name in image if name.startswith("ck")] == ["ck-0", "ck-1", "ck-2", "ck-3", "ck-4"]
    for name in ("ck-0", "ck-4"):
        (view,) = image[name].spec["method"]
        assert view["config"] | {"checkpoint": int(name[-1]), "temperature": 3.0} == view["config"]
    assert not made.skipped


def test_a_method_that_images_or_texts_do_not_have_is_skipped_there(plan: MakePlan) -> None:
    """ARD is for images, FreeLB for texts."""
    made = plan(_methods("ard", "freelb-kd"))
    assert {(s.task, s.dataset, s.reason) for s in made.skipped} == {
        ("mood", "ard", "ard is not defined for text-classification"),
        ("digits", "freelb-kd", "freelb-kd is not defined for image-classification"),
    }
    assert "ard" in _trained(made, "digits") and "freelb-kd" in _trained(made, "mood")


def test_takd_is_left_out_where_one_of_many_pairs_has_no_assistants(plan: MakePlan) -> None:
    """With the reason; where nothing else is asked for it is an error."""

    def change(suite: dict[str, Any]) -> None:
        suite["methods"] = ["takd"]
        suite["pairs"] = ["resnet14-resnet8", "resnet20-resnet8"]
        suite["tasks"] = suite["tasks"][1:]

    made = plan(change)
    assert [row.pair for row in made.rows if row.method == "takd" and not row.evaluation] == ["resnet20-resnet8"]
    assert [(s.dataset, s.reason) for s in made.skipped] == [
        ("takd", "takd needs an assistant, and pair resnet14-resnet8 names none")
    ]
    with pytest.raises(PlanError, match=r"takd can run on none of .*assistant, and pair resnet14-resnet8"):
        plan(change, Selection(methods=("takd",), pairs=("resnet14-resnet8",)))


def test_a_setting_that_only_texts_have_does_not_disturb_images(plan: MakePlan) -> None:
    """And the other way round; each reaches the cells that know it."""

    def keys(settings: dict[str, Any]) -> list[str]:
        made = plan(_methods("mate"), Selection(settings={"mate": settings} if settings else {}))
        return [_trained(made, task)["mate"].key for task in ("mood", "digits")]

    plain = keys({})
    mask, ball = keys({"mask_rate": 0.2}), keys({"epsilon": 0.03})
    assert mask[0] != plain[0] and mask[1] == plain[1]
    assert ball[0] == plain[0] and ball[1] != plain[1]
    both = keys({"epochs": 5})
    assert both[0] != plain[0] and both[1] != plain[1]


def test_a_setting_that_nobody_has_is_an_error(plan: MakePlan) -> None:
    """It is not mistaken for one of the other kind."""
    with pytest.raises(MethodError, match="method mate: mask_rat: unknown key; did you mean 'mask_rate'"):
        plan(_methods("mate"), Selection(settings={"mate": {"mask_rat": 0.2}}))


def test_images_need_no_generator(plan: MakePlan) -> None:
    """MATE's place is taken by an attack on the pixels."""
    made = plan(_methods("mate"))
    assert _trained(made, "digits")["mate"].spec["generator"] is None
    assert _trained(made, "mood")["mate"].spec["generator"] is not None


# --- evaluations ----------------------------------------------------------------------------------


def _measure(**changes: Any) -> Change:
    return lambda suite: suite["evaluations"].update(changes)


needs_library = pytest.mark.skipif(missing_library() is not None, reason=missing_library() or "")


@needs_library
def test_corruptions_are_for_images_and_computed_where_no_published_set_is(plan: MakePlan) -> None:
    """With a limit of their own, by a library that is part of the key."""
    made = plan(lambda suite: (_measure(corruption={"severities": [1, 3]})(suite), _budget(max_corrupted=7)(suite)))
    assert {row.task for row in made.rows if row.evaluation == "corruption"} == {"digits"}
    for method, model in _trained(made, "digits").items():
        cell = _evaluations(made, "digits", method)[f"corruption/{COMPUTED}"]
        assert cell.upstream == (model.key,)
        assert (cell.spec["limit"], cell.spec["severities"], cell.spec["source"]) == (7, [1, 3], None)
        assert len(cell.spec["corruptions"]) == 15 and cell.spec["library"] == library_version()


def test_without_the_library_corruptions_are_skipped(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install."""
    monkeypatch.setattr("kdbench.corruptions.library.DISTRIBUTION", "no-such-distribution")
    made = plan(_measure(corruption={}))
    assert [(s.task, s.evaluation) for s in made.skipped] == [("digits", "corruption")]
    assert "pip install 'kdbench[corruptions]'" in made.skipped[0].reason


def test_a_published_set_of_corruptions_is_preferred(plan: MakePlan, tmp_path: Path) -> None:
    """Under its own name and fingerprint, where a mirror has it."""
    published = {"name": "digits-c", "source": {"mirror": "local/c"}, "split": "test", "columns": {"image": "image"}}

    def change(suite: dict[str, Any]) -> None:
        suite["evaluations"]["corruption"] = {}
        suite["tasks"][1]["corrupted"] = published

    without = plan(change)
    assert "corruption/digits-c" not in _evaluations(without, "digits", "kd")
    reasons = [skip.reason for skip in without.skipped if skip.dataset == "digits-c"]
    assert reasons and f"{COMPUTED} stands in" in reasons[0]  # never silently
    file = tmp_path / "mirror/local/c/default/test.parquet"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"some images")
    found = _evaluations(plan(change, data=(tmp_path / "mirror",)), "digits", "kd")
    (name,) = [name for name in found if name.startswith("corruption/")]
    assert name == "corruption/digits-c"
    assert found[name].spec["source"]["fingerprint"].startswith("sha256:") and found[name].spec["library"] is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"corruptions": ["gausian_noise"]}, "unknown corruption 'gausian_noise': did you mean gaussian_noise"),
        ({"severities": [0, 1]}, "severities go from 1 to 5"),
    ],
)
def test_corruptions_that_do_not_exist(plan: MakePlan, settings: dict[str, Any], message: str) -> None:
    """Known before anything runs."""
    with pytest.raises(SuiteError, match=message):
        plan(_measure(corruption=settings))


def test_transfer_replays_on_students_what_was_found_on_the_teacher_and_on_finetune(plan: MakePlan) -> None:
    """It waits for all attacks and the student; the finetune student is of the same seed, and may be the student."""
    made = plan(_measure(transfer=True))
    for task, name in (("mood", "a"), ("digits", "pgd")):
        teacher = _evaluations(made, task, "teacher")
        assert not any(place.startswith("transfer") for place in teacher)
        for method in ("finetune", "kd"):
            found = _evaluations(made, task, method)
            cell = found[f"transfer/{name}"]
            assert cell.spec["upstream"] == {
                "model": _trained(made, task)[method].key,
                "source": teacher[f"attack/{name}"].key,
                "own": found[f"attack/{name}"].key,
                "baseline": _evaluations(made, task, "finetune")[f"attack/{name}"].key,
            }
            assert "query_budget" not in cell.spec


def test_baselines_are_of_the_same_seed_wherever_finetune_is_named(plan: MakePlan) -> None:
    """A method among others it comes before them; seeds do not mix."""

    def last(suite: dict[str, Any]) -> None:
        _measure(transfer=True)(suite)
        suite.update(controls=[], methods=["kd", "finetune"], seeds=[1, 2])

    made = plan(last)
    keys = {(r.method, r.seed, r.evaluation, r.dataset): r.key for r in made.rows if r.task == "digits"}
    for method in ("kd", "finetune"):
        for seed in (1, 2):
            upstream = made.cells[keys[method, seed, "transfer", "pgd"]].spec["upstream"]
            assert upstream["baseline"] == keys["finetune", seed, "attack", "pgd"]


def test_without_finetune_only_the_teacher_is_replayed(plan: MakePlan) -> None:
    def without(suite: dict[str, Any]) -> None:
        _measure(transfer=True)(suite)
        suite.update(controls=[], methods=["kd"])

    found = _evaluations(plan(without), "digits", "kd")
    assert found["transfer/pgd"].spec["upstream"].keys() == {"model", "source", "own"}


def test_transfer_without_attacks_is_refused(plan: MakePlan) -> None:
    """There is nothing to replay."""
    with pytest.raises(SuiteError, match="transfer replays attacks: name them under attack"):
        plan(_measure(attack=None, transfer=True))


def test_the_trajectory_is_scored_once_for_each_teacher(plan: MakePlan) -> None:
    """Students have none."""
    made = plan(_measure(trajectory=True))
    rows = [row for row in made.rows if row.evaluation == "trajectory"]
    assert [(row.task, row.method) for row in rows] == [("mood", "teacher"), ("digits", "teacher")]
    cell = made.cells[rows[1].key]
    assert cell.upstream == (_trained(made, "digits")["teacher"].key,) and cell.spec["metrics"] == ["accuracy"]


def test_an_image_task_without_its_format_is_refused(plan: MakePlan) -> None:
    """Also columns of the other kind, and a normalisation for other channels."""

    def without(suite: dict[str, Any]) -> None:
        del suite["tasks"][1]["image"]

    changes: list[tuple[Change, str]] = [
        (without, "a task of kind image-classification needs 'image'"),
        (lambda suite: suite["tasks"][0].update(image=FORMAT), "a task of kind text-classification has no 'image'"),
        (lambda suite: suite["tasks"][1].update(columns={"text": "image"}), "name an image"),
        (lambda suite: suite["tasks"][1].update(image={**FORMAT, "channels": 3}), "mean and std need 3 values"),
    ]
    for change, message in changes:
        with pytest.raises(KDBenchError, match=message):
            plan(change)
