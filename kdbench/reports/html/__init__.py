"""The report as one HTML file that needs neither a server nor a network."""

from kdbench.reports.html.page import to_html

__all__ = ["to_html"]
