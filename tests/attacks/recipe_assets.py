"""Stand-ins for what recipes download, small and in the real file formats: vectors, taggers, language models."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import torch

SYNONYMS = [
    ["great", "fine", "superb", "wonderful", "nice"],
    ["film", "movie", "picture", "story", "drama"],
    ["funny", "witty", "comical", "smart", "silly"],
    ["cast", "crew", "band", "team", "group"],
]
FILLER = ["a", "the", "and", "with", "of", "it", "is", "very", "bad", "worst", "dull", "script", "acting"]
WORDS = [word for group in SYNONYMS for word in group] + FILLER
PIECES = ["##ing", "##ly", "##s", "un", "##fun", "##ny", "re", "##ed", "##er", "##est", "dis", "##able"]


def write_assets(folder: Path) -> None:
    """Every asset there is, but for those that only a plugin can load."""
    (folder / "intentional_homoglyphs.txt").write_text(
        "\ufeff# table\n0061 ;\t0430 ;\t#* ( a ~ а ) LATIN SMALL LETTER A\n", encoding="utf-8"
    )
    write_vectors(folder / "paragramcf")
    write_neighbours(folder)
    write_hownet(folder)
    _write_tagger(folder / "taggers")
    write_masked_model(folder / "google-bert" / "bert-base-uncased", "bert")
    write_masked_model(folder / "distilroberta-base", "roberta")
    _write_sentence_model(folder / "sentence-transformers" / "stsb-distilbert-base")
    (folder / "universal-sentence-encoder").mkdir()
    (folder / "universal-sentence-encoder" / "saved_model.pb").touch()


def write_neighbours(folder: Path) -> None:
    """The other words of each group, in alphabetical order."""
    import pandas as pd

    rows = [{"word": word, "neighbors": sorted({*group} - {word})} for group in SYNONYMS for word in group]
    pd.DataFrame([*rows, {"word": "the", "neighbors": []}]).to_parquet(folder / "counterfitted_neighbors.parquet")


def write_hownet(folder: Path) -> None:
    """Each word has its group as nouns, as the published file is laid out."""
    bank = {word: {"noun": [other for other in group if other != word]} for group in SYNONYMS for word in group}
    (folder / "word_candidates_sense.pkl").write_bytes(pickle.dumps(bank))


def write_vectors(target: Path) -> None:
    """Synonyms share a direction; TextAttack's file names and types."""
    target.mkdir()
    random = np.random.default_rng(0)
    groups = [next((i for i, group in enumerate(SYNONYMS) if word in group), None) for word in WORDS]
    centres = random.normal(size=(len(SYNONYMS), 16)) * 4
    vectors = np.array(
        [
            random.normal(size=16) if group is None else centres[group] + 0.1 * random.normal(size=16)
            for group in groups
        ],
        dtype=np.float32,
    )
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    np.save(target / "paragram.npy", vectors)
    np.save(target / "nn.npy", distances.argsort(axis=1)[:, :5])
    (target / "wordlist.pickle").write_bytes(pickle.dumps({word: row for row, word in enumerate(WORDS)}))


def _write_tagger(target: Path) -> None:
    """NLTK's own tagger, trained on a few sentences."""
    from nltk.tag.perceptron import PerceptronTagger

    nouns = {*SYNONYMS[1], *SYNONYMS[3], "script", "acting"}
    tags = {word: "NN" if word in nouns else "DT" if word in {"a", "the"} else "JJ" for word in WORDS}
    tags |= dict.fromkeys(["and", "with", "of"], "IN") | {"is": "VBZ", "it": "PRP", "very": "RB"}
    sentences = [[("a", "DT"), (word, tag), ("film", "NN")] for word, tag in tags.items()] * 3
    tagger = PerceptronTagger(load=False)
    tagger.train(sentences)
    model = target / "averaged_perceptron_tagger_eng"
    model.mkdir(parents=True)
    parts = {"weights": tagger.model.weights, "tagdict": tagger.tagdict, "classes": sorted(tagger.classes)}
    for part, content in parts.items():
        (model / f"averaged_perceptron_tagger_eng.{part}.json").write_text(json.dumps(content))
    (target / "universal_tagset").mkdir()
    (target / "universal_tagset" / "en-ptb.map").write_text(
        "NN\tNOUN\nJJ\tADJ\nDT\tDET\nIN\tADP\nVBZ\tVERB\nPRP\tPRON\nRB\tADV\n"
    )


def tokenizer():
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *PIECES]
    tokens = {token: row for row, token in enumerate(vocabulary)}
    return BertTokenizerFast(tokenizer_object=BertWordPieceTokenizer(vocab=tokens)._tokenizer, model_max_length=512)


def write_masked_model(target: Path, kind: str) -> None:
    """A masked language model of the right architecture with random weights."""
    import transformers

    torch.manual_seed(0)
    reader = tokenizer()
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    sizes |= {"vocab_size": len(reader), "max_position_embeddings": 514}
    config = {"bert": transformers.BertConfig, "roberta": transformers.RobertaConfig}[kind](**sizes, pad_token_id=0)
    transformers.AutoModelForMaskedLM.from_config(config).save_pretrained(target)
    reader.save_pretrained(target)


def _write_sentence_model(target: Path) -> None:
    """A sentence encoder: a random BERT and mean pooling, in sentence-transformers' layout."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    reader = tokenizer()
    encoder = target.with_name("encoder")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(**sizes, vocab_size=len(reader))).save_pretrained(encoder)
    reader.save_pretrained(encoder)
    layers = [modules.Transformer(str(encoder)), modules.Pooling(16)]
    SentenceTransformer(modules=layers, device="cpu").save(str(target))
