"""Image attacks as data: the catalog says everything, and what cannot be is refused with one clear line."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from kdbench.attacks.assets import missing_assets
from kdbench.attacks.spec import ATTACKS, AttackSpec
from kdbench.errors import SuiteError
from kdbench.schema import load_yaml

BALLS = {"linf-8": ("Linf", 8 / 255), "linf-4": ("Linf", 4 / 255), "linf-1": ("Linf", 1 / 255), "l2-0.5": ("L2", 0.5)}
PUBLISHED = ("linf-8", "linf-4", "l2-0.5")
ONE = {"fgsm", "pgd20", "cw", "apgd-ce", "apgd-t", "fab-t", "square"}
IMAGE = [name for name in ATTACKS.names() if ATTACKS.get(name).kind == "image"]
CURVES = {"curve-linf": ("Linf", (1 / 255, 2 / 255, 4 / 255, 8 / 255)), "curve-l2": ("L2", (0.125, 0.25, 0.5, 1.0))}


def test_every_attack_in_every_ball_where_it_exists():
    wanted = {f"{stem}-{ball}" for stem in ONE | {"worst", "autoattack-standard"} for ball in PUBLISHED}
    assert set(IMAGE) >= wanted - {"fgsm-l2-0.5", "cw-linf-8", "cw-linf-4"}


@pytest.mark.parametrize("name", IMAGE)
def test_names_tell_norm_and_epsilon(name):
    spec = ATTACKS.get(name)
    norm, radii = CURVES.get(name) or next((n, (eps,)) for tail, (n, eps) in BALLS.items() if name.endswith(tail))
    assert (spec.name, spec.norm, spec.epsilon) == (name, norm, pytest.approx(radii[-1]))
    assert spec.radii == pytest.approx(radii)
    assert spec.description and spec.cite
    assert missing_assets(spec, []) == []
    assert AttackSpec.model_validate(spec.model_dump(mode="json")) == spec
    if name.startswith("pgd20"):
        assert spec.members[0].steps == 20


@pytest.mark.parametrize("ball", PUBLISHED)
def test_the_standard_ensemble_is_autoattack_s_own(ball):
    """As ``AutoAttack(version='standard')`` of its authors' code sets them (see also the oracle tests)."""
    ce, targeted, fab, square = ATTACKS.get(f"autoattack-standard-{ball}").members
    assert [m.algorithm for m in (ce, targeted, fab, square)] == ["apgd-ce", "apgd-t", "fab-t", "square"]
    assert (ce.steps, ce.restarts, ce.rho) == (100, 1, 0.75)
    assert (targeted.steps, targeted.restarts, targeted.targets, targeted.rho) == (100, 1, 9, 0.75)
    assert (fab.steps, fab.restarts, fab.targets, fab.alpha_max, fab.eta, fab.beta) == (100, 1, 9, 0.1, 1.05, 0.9)
    assert (square.queries, square.restarts, square.initial_share, square.rescale) == (5000, 1, 0.8, False)


def image(**changes):
    fields = {"name": "x", "kind": "image", "norm": "Linf", "epsilon": "8/255", "members": [{"algorithm": "fgsm"}]}
    return AttackSpec.model_validate({key: value for key, value in (fields | changes).items() if value is not None})


def test_epsilon_may_be_a_fraction():
    assert image().epsilon == 8 / 255
    assert image(epsilon=0.25).epsilon == image(epsilon="1 / 4").epsilon == 0.25


def test_members_run_from_cheap_to_dear_in_whatever_order_they_are_written():
    """Forward passes for an image that stands, a gradient counting as two more."""
    costs = {"fgsm": 4, "pgd": 61, "apgd-ce": 303, "apgd-t": 2727, "fab-t": 3600, "square": 5001}
    written = ["square", "fab-t", "fgsm", "apgd-t", "pgd", "apgd-ce"]
    spec = image(members=[{"algorithm": algorithm} for algorithm in written])
    assert {member.algorithm: member.passes for member in spec.members} == costs
    assert [member.algorithm for member in spec.members] == list(costs)
    for name in IMAGE:
        assert [m.passes for m in ATTACKS.get(name).members] == sorted(m.passes for m in ATTACKS.get(name).members)


def test_the_largest_of_several_epsilons_is_the_attack_s():
    spec = image(epsilon=None, epsilons=["1/255", "2/255"])
    assert spec.epsilon == 2 / 255 and spec.radii == spec.epsilons == (1 / 255, 2 / 255)
    assert AttackSpec.model_validate(spec.model_dump(mode="json")) == spec
    assert image().radii == (8 / 255,)


def test_settings_that_are_not_used_are_no_part_of_what_identifies_an_attack():
    dumped = image(members=[{"algorithm": "pgd"}]).model_dump(mode="json")
    assert "epsilons" not in dumped and "patience" not in dumped["members"][0]


def test_only_kdbench_s_own_attacks_may_give_images_up():
    """A paper's name only with the paper's settings."""
    assert not [name for name in IMAGE if any(getattr(m, "patience", None) for m in ATTACKS.get(name).members)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": [{"algorithm": "cw"}]}, "cw does not exist for norm Linf, only for L2"),
        ({"norm": "L2"}, "fgsm does not exist for norm L2, only for Linf"),
        ({"norm": "L1"}, "'Linf' or 'L2'"),
        ({"norm": None}, "an attack of kind image needs 'norm'"),
        ({"epsilon": None}, "an attack of kind image needs 'epsilon'"),
        ({"epsilon": "8/0"}, "neither a number nor a fraction"),
        ({"epsilon": -1}, "greater than or equal to 0"),
        ({"epsilons": ["2/255", "1/255"]}, "'epsilons' must rise from one to the next"),
        ({"epsilons": ["1/255", "1/255"], "epsilon": None}, "'epsilons' must rise from one to the next"),
        ({"epsilons": ["1/255", "2/255"]}, "'epsilon', if it is given, be the largest"),
        ({"epsilons": [0, "2/255"], "epsilon": None}, "greater than 0"),
        ({"members": [{"algorithm": "apgd-ce", "patience": 22}]}, "before the first check of the step size, after 22"),
        ({"members": [{"algorithm": "fgsm", "patience": 2}]}, "patience"),
        ({"members": []}, "an attack of kind image needs 'members'"),
        ({"members": [{"algorithm": "deepfool"}]}, "deepfool"),
        ({"members": [{"algorithm": "fgsm", "steps": 3}]}, "steps"),
        ({"recipe": "a:b"}, "'recipe' has no meaning for an attack of kind image"),
        ({"kind": "text"}, "an attack of kind text needs 'recipe'"),
        ({"kind": "text", "recipe": "a:b"}, "'norm' has no meaning for an attack of kind text"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        image(**changes)


def test_a_wrong_setting_is_named_with_its_place(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\nkind: image\nnorm: L2\nepsilon: 0.5\nmembers:\n  - {algorithm: pgd, stepz: 3}\n", encoding="utf-8"
    )
    with pytest.raises(SuiteError, match=r"mine.yaml:6: members.0.pgd.stepz: unknown key; did you mean 'steps'\?"):
        load_yaml(path, AttackSpec)
