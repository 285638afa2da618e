"""Augmenters: extra inputs for the student."""
