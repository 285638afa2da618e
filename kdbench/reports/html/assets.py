"""Scripts and styles that are written into the page: DataTables from itables, Vega from vl-convert, and our own."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib import resources

from kdbench.errors import ReportError
from kdbench.reports.figures import VEGA_LITE


@cache
def plot_script() -> str:
    """Vega, Vega-Lite and vega-embed, which leave ``window.vegaEmbed`` behind."""
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)


@cache
def table_script() -> str:
    """DataTables, which leaves ``window.DataTable`` behind.

    Raises:
        ReportError: the installed itables does not hold what it is known to hold.
    """
    text = (resources.files("itables") / "html" / "dt_bundle.js").read_text(encoding="utf-8")
    exported = re.search(r"export\{[^}]*?([\w$]+) as default[^}]*\};?", text)
    if exported is None:
        raise ReportError("itables/html/dt_bundle.js exports no DataTable: install the itables that kdbench asks for")
    return text[: exported.start()] + f"window.DataTable={exported[1]};" + text[exported.end() :]


def own(name: str) -> str:
    """A file of this package."""
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def inline(script: str) -> str:
    """A script that cannot end the element it stands in; in its strings and patterns an escaped slash is a slash."""
    return script.replace("</script", r"<\/script").replace("<!--", r"<\!--")


def content_security_policy(scripts: list[str]) -> str:
    """Nothing from anywhere, and no script but these, not even one that slipped through in a name."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
