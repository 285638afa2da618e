"""Masked language models under a memo propose what TextAttack's do, and are asked once for all victims."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from kdbench.attacks import _library, assets
from kdbench.attacks.memo import Memo
from kdbench.attacks.spec import ATTACKS
from tests.attacks.recipe_assets import write_masked_model

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.xdist_group("textattack")]

TEXT = "A great and funny film, with the worst unfunny acting. It is a dull story"


@pytest.fixture(scope="module")
def session():
    assets.prepare(ATTACKS.get("pruthi"))
    with _library.session():
        yield


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "bert"
    write_masked_model(folder, "bert")
    model = AutoModelForMaskedLM.from_pretrained(folder)
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(30)  # so that proposals differ from gap to gap
    return {"masked_language_model": model, "tokenizer": AutoTokenizer.from_pretrained(folder)}


@pytest.fixture
def passes(parts):
    """How often the model ran, and how wide its inputs were."""
    widths: list[int] = []
    hook = parts["masked_language_model"].register_forward_pre_hook(
        lambda module, args, kwargs: widths.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    yield widths
    hook.remove()


def kinds(parts):
    from textattack.transformations import WordInsertionMaskedLM, WordSwapMaskedLM

    from kdbench.attacks.recipes.masked_lm import WordMerge, WordSwapPieces

    return {
        "bae": lambda: WordSwapMaskedLM("bae", max_candidates=5, min_confidence=0.0, **parts),
        "bert-attack": lambda: WordSwapMaskedLM("bert-attack", max_candidates=3, **parts),
        "pieces": lambda: WordSwapPieces("bert-attack", max_candidates=6, **parts),
        "insertion": lambda: WordInsertionMaskedLM(max_candidates=5, min_confidence=0.0, **parts),
        "merge": lambda: WordMerge(max_candidates=5, min_confidence=0.0, **parts),
    }


@pytest.mark.parametrize("kind", ["bae", "bert-attack", "pieces", "insertion", "merge"])
def test_proposals_stay_and_are_asked_once(session, parts, passes, kind):
    from textattack.shared import AttackedText
    from textattack.transformations import CompositeTransformation

    from kdbench.attacks.recipes import masked_lm

    make, memo = kinds(parts)[kind], Memo()
    expected = [text.text for text in make()(AttackedText(TEXT))]
    assert len(set(expected)) > 10 and set(passes) - {2, 3, 4} == {512}
    passes.clear()

    def shared(fingerprint):
        transformation = CompositeTransformation([make()])
        masked_lm.share(transformation, memo, fingerprint)
        return transformation

    first, second = shared("one"), shared("one")
    some = [text.text for text in first(AttackedText(TEXT), indices_to_modify=[3])]
    assert [text.text for text in first(AttackedText(TEXT))] == expected
    assert set(some) <= set(expected) and passes and max(passes) < 40, "padded to the longest text only"
    passes.clear()
    assert [text.text for text in second(AttackedText(TEXT))] == expected
    assert not passes, "a second victim asks nothing again"
    shared("another")(AttackedText(TEXT))
    assert passes, "another model's proposals are its own"


def test_words_of_many_pieces_cost_24_combinations(session, parts, passes):
    """Of the 4 best for each of the first 12 pieces, ranked by their perplexity, as brute force ranks them."""
    from textattack.shared import AttackedText

    from kdbench.attacks.recipes.masked_lm import WordSwapPieces

    model, tokenizer = parts["masked_language_model"], parts["tokenizer"]
    word = "un" + "ing" * 13 + "ly"
    assert len(tokenizer.tokenize(word)) == 15
    starts, ends = (
        tokenizer.convert_tokens_to_ids(tokens)
        for tokens in (["film", "##ed", "un", "story", "cast"], ["##ing", "##ly", "##s", "fine", "##er"])
    )
    best = torch.tensor([[0] * 5] * 2 + [starts] + [ends] * 14 + [[0] * 5] * 2)
    swap = WordSwapPieces("bert-attack", max_candidates=5, **parts)
    text = AttackedText(f"a {word} film")
    words = swap._bert_attack_replacement_words(text, 1, best, torch.zeros(19, len(tokenizer)))

    products = torch.cartesian_prod(*best[2:14, :4])[:24]
    losses = [torch.nn.functional.cross_entropy(model(input_ids=ids[None]).logits[0], ids).item() for ids in products]
    ranked = [products[row] for row in sorted(range(24), key=losses.__getitem__)]
    joined = [tokenizer.convert_tokens_to_string(tokenizer.convert_ids_to_tokens(ids.tolist())) for ids in ranked]
    assert words == [each for each in joined if " " not in each and "##" not in each]
    assert len(words) == 15 and words != sorted(words) and passes[0] == 12, "all at once"
