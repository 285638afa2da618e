"""Adversarial attacks on text models: the catalog, their assets and the runner."""
