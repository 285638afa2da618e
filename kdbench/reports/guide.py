"""How the numbers of a leaderboard are to be read, as sentences."""

from __future__ import annotations

from kdbench.reports.standings import Standings
from kdbench.reports.table import Leaderboard


def reading_guide(board: Leaderboard, standings: Standings) -> tuple[str, ...]:
    """Only what applies to this leaderboard."""
    measured = {place.evaluation for place in board.values}
    kinds = {board.manifest.kinds[task] for task in board.tasks}
    sentences = [
        "Percentages unless said otherwise. In-domain is the mean of the tasks' primary metrics, out-of-domain the "
        "mean over each task's sets, under attack the accuracy over all sampled examples, those that were wrong "
        "before the attack included. Agreement: share of predictions equal to the teacher's."
    ]
    if "question-answering" in kinds:
        sentences.append(
            "Of answers: token F1, under attack that of the strongest attempt, over answerable questions; agreement: "
            "share of predicted spans equal to the teacher's; ECE: of the probability that the answer matches exactly."
        )
    sentences += [text for evaluation, text in _EXPLAINED.items() if evaluation in measured]
    sentences.append(_spread(board))
    if standings.by_place:
        sentences.append(_ranks(board, standings))
    return tuple(sentences)


_EXPLAINED = {
    "ood": "Drop / teacher's: what is lost from in-domain to out-of-domain as a multiple of the teacher's loss, in the "
    "same metric; below 1 is more robust than the teacher.",
    "transfer": "Transfer: accuracy on what the attacks found on the teacher; union: on that and on what they found on "
    "the finetune student of the same seed, an example being right only in both versions: one fixed set for all "
    "students. A student whose own attack breaks less than the replay has not been attacked well.",
    "quality": "Similarity: cosine of all-MiniLM-L6-v2 embeddings of original and perturbed text, mean over successful "
    "attacks. A high one does not prove that the meaning is preserved, nor that the label still holds: read the "
    "examples in the HTML report.",
    "corruption": "Corruptions: accuracy, mean over corruptions and severities; mCE: mean corruption error relative to "
    "the finetune student, whose own is 100; lower is better.",
}


def _spread(board: Leaderboard) -> str:
    seeds = board.seeds
    if len(seeds) > 1:
        return f"Means ± standard deviation over {len(seeds)} seeds ({', '.join(map(str, seeds))})."
    return "One seed: brackets are 95 % Wilson intervals over examples, and say nothing about the spread of training."


def _ranks(board: Leaderboard, standings: Standings) -> str:
    over = "seeds and examples" if len(board.seeds) > 1 else "examples"
    return (
        f"Ranks are among the students of a pair, by paired comparison over {over} (Holm-corrected): a range holds "
        "every rank that cannot be ruled out. Bold: the best; ≈: not separable from it. "
        f"Differences are to {standings.reference}."
    )
