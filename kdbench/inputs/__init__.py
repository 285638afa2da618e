"""How examples become model inputs: one file for each modality, one interface for all."""
