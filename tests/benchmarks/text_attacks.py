"""Attacks on texts: stock TextAttack, a plain loop that pads dynamically, and kdbench, on the same examples."""

from __future__ import annotations

import functools
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from kdbench.attacks import _library, assets
from kdbench.attacks._search import _seed_all
from kdbench.attacks.classifier import TOKENS, ClassifierVictim
from kdbench.attacks.encoder import find_encoder
from kdbench.attacks.memo import Memo
from kdbench.attacks.outcomes import AttackOutcome
from kdbench.attacks.spec import ATTACKS, AttackSpec
from kdbench.attacks.text import TextExample, attack_texts
from kdbench.hashing import derive_seed
from kdbench.inputs.stream import BatchStream
from kdbench.inputs.text import TextReader
from kdbench.methods import losses
from kdbench.models.build import Head, build_model, load_tokenizer
from kdbench.tasks.dataset import TextExamples, to_examples
from kdbench.tasks.sources import locate, read
from kdbench.tasks.spec import TASKS
from tests.benchmarks.measure import SEED
from tests.benchmarks.texts import HERE, PAIR, _load

TASK = TASKS.get("movie-snippets")
BUDGET = 500
UPDATES = 200
SIMILARITY = "textfooler-wordnet"
ATTACKED = ("deepwordbug", "pwws", SIMILARITY)

Found = tuple[str, str, int]
"""Kind of the result, text and queries of one example."""


@dataclass(frozen=True)
class Run:
    """One way to attack all examples.

    Attributes:
        wall: seconds.
        cpu: seconds of processor time, which other jobs on the machine change less.
        calls: of the model.
    """

    found: list[Found]
    wall: float
    cpu: float
    calls: int

    def faster(self, other: Run) -> str:
        """How much slower the other one was."""
        return f"{other.wall / self.wall:.2f}x (processor time {other.cpu / self.cpu:.2f}x)"

    def same(self, other: Run) -> str:
        """On how many examples both found the same."""
        return f"{sum(map(tuple.__eq__, self.found, other.found))}/{len(self.found)}"


def measure(rounds: int, snippets: int = 100, *, stock: bool = True) -> None:
    """(j) for every attack: the stock library once, the plain loop and kdbench in turn."""
    victims = [_trained(seed) for seed in (SEED, SEED + 1)]
    examples = _examples(snippets)
    for name in ATTACKED:
        spec = ATTACKS.get(name)
        _ours(victims[0], examples[:2], spec)  # warm-up: imports, WordNet, taggers
        slow = _plain(victims[0], examples, spec, _StockCalls) if stock else None
        for _ in range(rounds):
            plain = _plain(victims[0], examples, spec, _DynamicCalls)
            ours = _ours(victims[0], examples, spec)
            line = f"(j) {name}: {ours.faster(plain)} faster than a plain loop, outcomes {ours.same(plain)}"
            if slow:
                line += f"; {ours.faster(slow)} faster than stock TextAttack (promised >= 15), {ours.same(slow)}"
            print(line, flush=True)
        large = _ours(victims[0], examples, spec, tokens=TOKENS["cuda"])
        print(
            f"    forward passes {plain.calls} -> {ours.calls} in the CPU's batches, {large.calls} in a GPU's: "
            f"{plain.calls / large.calls:.0f}x fewer (promised >= 15), outcomes {large.same(plain)}",
            flush=True,
        )
    for _ in range(rounds):
        memo = Memo()
        first, second = (_ours(victim, examples, ATTACKS.get(SIMILARITY), memo) for victim in victims)
        alone = _ours(victims[1], examples, ATTACKS.get(SIMILARITY))
        print(
            f"(j) {SIMILARITY}, a second victim: {second.faster(first)} faster than the first (promised >= 1.3), "
            f"{second.faster(alone)} faster than by itself, outcomes {second.same(alone)}",
            flush=True,
        )


def _trained(seed: int) -> PreTrainedModel:
    """A three-layer student of the movie snippets, trained for a minute."""
    data = _load(TASK.name, 4000)
    model = build_model(PAIR.student, Head("text-classification", 2), HERE, seed=seed).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    stream = BatchStream(data.train.lengths, 32, derive_seed("train", seed))
    labels = torch.from_numpy(data.train.labels)
    for step in range(UPDATES):
        rows = stream.batch(step)
        logits = model(**data.train.collate(rows)).logits
        losses.cross_entropy(logits, labels[torch.from_numpy(rows)]).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return model.eval()


def _examples(count: int) -> list[TextExample]:
    table = read(locate(TASK.source, TASK.splits.evaluation, HERE), HERE)
    rows = to_examples(table, TASK.columns, TASK.labels, TASK.label_map, TASK.name).sample(count, "bench-attack")
    assert isinstance(rows, TextExamples)
    return [
        TextExample(*row) for row in zip(rows.ids, rows.texts, [None] * len(rows), map(int, rows.labels), strict=True)
    ]


def _reader() -> TextReader:
    return TextReader(load_tokenizer(PAIR.student, HERE), 128)


def _ours(
    model: PreTrainedModel,
    examples: Sequence[TextExample],
    spec: AttackSpec,
    memo: Memo | None = None,
    tokens: int | None = None,
) -> Run:
    victim = ClassifierVictim(model, _reader(), tokens)

    def run() -> list[Found]:
        outcomes = attack_texts(
            victim,
            examples,
            spec,
            perturb="text",
            query_budget=BUDGET,
            seed=SEED,
            directories=HERE.assets(),
            memo=memo,
        )
        return [(_kind(outcome), outcome.perturbed, outcome.queries) for outcome in outcomes]

    return _timed(run, lambda: victim.batches)


def _kind(outcome: AttackOutcome) -> str:
    return "failed" if outcome.outcome == "exhausted" else outcome.outcome


def _timed(run: Callable[[], list[Found]], calls: Callable[[], int]) -> Run:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    found = run()
    return Run(found, time.perf_counter() - wall, time.process_time() - cpu, calls())


class _StockCalls:
    """TextAttack's own wrapper: every text is padded to all that the model can read."""

    def __init__(self, model: PreTrainedModel) -> None:
        from textattack.models.wrappers import HuggingFaceModelWrapper

        self.calls = 0
        self.inner = HuggingFaceModelWrapper(model, load_tokenizer(PAIR.student, HERE))

    def __call__(self, texts: list[str]) -> Any:
        self.calls += 1
        return self.inner(texts)


class _DynamicCalls:
    """The same, padded to the longest text of each call, without gradients."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.calls = 0
        self.model, self.tokenizer = model, load_tokenizer(PAIR.student, HERE)

    @torch.inference_mode()
    def __call__(self, texts: list[str]) -> torch.Tensor:
        self.calls += 1
        inputs = self.tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
        logits: torch.Tensor = self.model(**inputs).logits
        return logits


def _plain(
    model: PreTrainedModel, examples: Sequence[TextExample], spec: AttackSpec, victim: Callable[[PreTrainedModel], Any]
) -> Run:
    """One example after the other, TextAttack as it is, in its own batches of 32."""
    assets.prepare(spec, HERE.assets())
    with _library.session(), _own_word_splitting():
        from textattack.goal_functions import UntargetedClassification
        from textattack.models.wrappers import ModelWrapper

        called = victim(model)

        class Wrapper(ModelWrapper):
            goal = UntargetedClassification
            ask = staticmethod(lambda model, questions: model(questions))

            def __init__(self) -> None:
                self.model, self.memo = model, Memo()

            def __call__(self, text_input_list: list[str]) -> Any:
                return called(text_input_list)

        attack = _library.build(spec, Wrapper(), HERE.assets())
        if victim is _StockCalls:
            attack.constraints = [_stock(constraint) for constraint in attack.constraints]
        attack.goal_function.query_budget = BUDGET

        def run() -> list[Found]:
            found = []
            for example in examples:
                _seed_all(derive_seed(SEED, spec.name, example.id))
                attack.clear_cache()
                result = attack.attack(example.text, example.label)
                kind = type(result).__name__.removesuffix("AttackResult").lower()
                kind = {"successful": "success"}.get(kind, kind)
                found.append((kind, result.perturbed_result.attacked_text.text, attack.goal_function.num_queries))
            return found

        before = np.random.get_state()
        try:
            return _timed(run, lambda: called.calls)
        finally:
            np.random.set_state(before)


def _stock(constraint: Any) -> Any:
    """TextAttack's own sentence similarity, around the same encoder in sentence-transformers; others as they are."""
    from textattack.constraints.semantics.sentence_encoders import SentenceEncoder

    from kdbench.attacks.recipes.similarity import SentenceSimilarity

    class Similarity(SentenceEncoder):
        def encode(self, sentences: list[str]) -> Any:
            return self.model.encode(sentences)

    if not isinstance(constraint, SentenceSimilarity):
        return constraint
    names = ("threshold", "metric", "compare_against_original", "window_size", "skip_text_shorter_than_window")
    similarity = Similarity(**{name: getattr(constraint, name) for name in names})
    similarity.model = _sentence_transformer()
    return similarity


@functools.cache
def _sentence_transformer() -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(find_encoder()), device="cpu")


@contextmanager
def _own_word_splitting() -> Iterator[None]:
    """The library's own helper, not remembered."""
    from textattack.shared import attacked_text, utils

    remembered = attacked_text.words_from_text
    attacked_text.words_from_text = utils.words_from_text
    try:
        yield
    finally:
        attacked_text.words_from_text = remembered
