"""kdbench: an honest benchmark of knowledge distillation."""

__version__ = "0.1.0"
