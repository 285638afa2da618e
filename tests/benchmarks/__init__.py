"""Speed, as ratios measured in one process: ``make bench``, by hand, never by the test command."""
