"""The version string: the same for the same, another for anything that can change an outcome."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from kdbench.attacks.spec import ATTACKS, AttackSpec
from kdbench.attacks.version import asset_fingerprints, attack_version
from tests.attacks.recipe_assets import write_hownet, write_neighbours, write_vectors

pytestmark = pytest.mark.xdist_group("textattack")

RUN = {"query_budget": 500, "perturb": "text", "seed": 0, "examples": 100}


def test_it_reads_well():
    found = attack_version(ATTACKS.get("pwws"), RUN)
    assert re.fullmatch(r"pwws/1\+textattack-0\.3\.\d+ [0-9a-f]{12}", found)
    assert re.fullmatch(
        r"pgd20-linf-8/1\+torchattacks-\S+ [0-9a-f]{12}", attack_version(ATTACKS.get("pgd20-linf-8"), RUN)
    )


def test_every_setting_counts_and_words_about_it_do_not():
    base = ATTACKS.get("textfooler-wordnet")
    changes = {"version": 2, "recipe": "m:f", "arguments": {"words": "vectors"}, "goal": "reduction", "models": ["m"]}
    specs = [base, *(base.model_copy(update={field: value}) for field, value in changes.items())]
    found = [attack_version(spec, RUN) for spec in specs]
    found += [
        attack_version(base, RUN | {key: value})
        for key, value in {"query_budget": 1, "perturb": "text_pair", "seed": 1, "examples": 9}.items()
    ]
    found += [attack_version(base, RUN, {"encoder": digest}) for digest in ("sha256:a", "sha256:b")]
    found += [attack_version(base, {})]
    assert len(set(found)) == len(found)
    told = base.model_copy(update={"description": "other words", "cite": "", "parts": None})
    reordered = dict(reversed(RUN.items()))
    assert attack_version(told, reordered) == attack_version(base, RUN) == found[0]


def test_members_of_an_image_attack_count():
    spec = ATTACKS.get("pgd20-linf-8")
    steps = AttackSpec.model_validate(spec.model_dump() | {"members": [{"algorithm": "pgd", "steps": 7}]})
    assert attack_version(steps, RUN) != attack_version(spec, RUN)
    assert asset_fingerprints(spec, []) == {}


def test_assets_count_by_content(tmp_path):
    """Wherever they lie, and read again when they change."""
    spec = AttackSpec(
        name="x",
        recipe="m:f",
        needs=["counterfitted", "neighbours", "hownet", "wordnet", "flair-tagger"],
        models=["a/b"],
    )
    assert set(asset_fingerprints(spec, [tmp_path])) == {"stop-words", "wordnet"}, "what is missing is left out"
    for folder in (tmp_path / "one", tmp_path / "two"):
        (folder / "a" / "b").mkdir(parents=True)
        (folder / "a" / "b" / "config.json").write_text("{}")
        (folder / "a" / "b" / "model.safetensors").touch()
        write_vectors(folder / "paragramcf")
        write_neighbours(folder)
        write_hownet(folder)
    one, two = (asset_fingerprints(spec, [folder]) for folder in (tmp_path / "one", tmp_path / "two"))
    assert one == two and set(one) == {"stop-words", "wordnet", "counterfitted", "neighbours", "hownet", "model a/b"}
    for name, file in {
        "counterfitted": "paragramcf/nn.npy",
        "neighbours": "counterfitted_neighbors.parquet",
        "hownet": "word_candidates_sense.pkl",
        "model a/b": "a/b/config.json",
    }.items():
        path = tmp_path / "two" / file
        path.write_bytes(path.read_bytes() + b" ")
        changed = asset_fingerprints(spec, [tmp_path / "two"])
        assert changed[name] != two[name] and {**changed, name: ""} == {**two, name: ""}
        two = changed


def test_the_encoder_and_the_tagger_of_packages_count():
    found = asset_fingerprints(ATTACKS.get("textfooler-wordnet"), [])
    assert set(found) == {"stop-words", "wordnet", "textblob", "encoder"}
    assert found["encoder"].startswith("sha256:") and found["textblob"].startswith("version:")


def test_it_is_told_without_an_attack_library():
    code = (
        "import sys\n"
        "from kdbench.attacks.version import *; from kdbench.attacks.spec import ATTACKS\n"
        "for spec in map(ATTACKS.get, ATTACKS.names()): attack_version(spec, {}, asset_fingerprints(spec, []))\n"
        "print(sorted({'torch', 'textattack', 'transformers', 'torchattacks'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
