"""Answers that are spans of a context: read from logits (:mod:`.decoding`), scored (:mod:`.metrics`)."""
