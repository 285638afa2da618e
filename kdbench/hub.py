"""Whether the Hugging Face hub can be reached: asked once, before a run that needs it."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from dataclasses import replace

from kdbench.locations import Locations
from kdbench.plan import Selection, make_plan
from kdbench.suite import Suite

TIMEOUT_SECONDS = 5


def hub_answers() -> bool:
    """Whether the hub (``HF_ENDPOINT``) answers within a few seconds."""
    if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
        return False
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        request = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310 - the endpoint is the user's own
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True  # it answered
    except (OSError, ValueError):
        return False


def with_hub_checked(suite: Suite, selection: Selection, locations: Locations) -> Locations:
    """Locations that know whether the hub answers, if this run needs anything from it."""
    if locations.offline:
        return locations
    plan = make_plan(suite, selection, locations)
    from_hub = any('"hub:' in str(cell.spec).replace("'", '"') for cell in plan.cells.values())
    return replace(locations, hub=hub_answers()) if from_hub else locations
