"""What methods are ranked by, each axis by itself."""

from __future__ import annotations

AXES = {"in_domain": "in-domain", "ood": "out-of-domain", "attack": "under attack"}
"""Axis, which is also the evaluation that measures it -> its title."""
