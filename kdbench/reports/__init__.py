"""Leaderboards from records."""
