"""Tasks, datasets and metrics."""
