"""Evaluations: one file each, named as in specs, each with ``run(job) -> CellResult``."""
