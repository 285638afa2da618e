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


def test_every_attack_in_every_ball_where_it_exists():
    wanted = {f"{stem}-{ball}" for stem in ONE | {"worst", "autoattack-standard"} for ball in PUBLISHED}
    assert set(IMAGE) >= wanted - {"fgsm-l2-0.5", "cw-linf-8", "cw-linf-4"}


@pytest.mark.parametrize("name", IMAGE)
def test_names_tell_norm_and_epsilon(name):
    spec = ATTACKS.get(name)
    norm, epsilon = next(ball for tail, ball in BALLS.items() if name.endswith(tail))
    assert (spec.name, spec.norm, spec.epsilon) == (name, norm, pytest.approx(epsilon))
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
