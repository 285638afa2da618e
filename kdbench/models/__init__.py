"""Pairs and the models in them."""
