"""Attacks on any saved model, outside of a suite: a folder is loaded, checked, and made to fit a task."""
