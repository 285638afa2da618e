"""Engines run the cells of a plan. The local one needs nothing but this machine."""
