"""One browser for all tests of pages; they are skipped where none can be had."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kdbench.reports.html import to_html
from kdbench.reports.model import Report
from tests.browser.chromium import NoBrowserError, find_chromium
from tests.reports.html.reports import full_report

Open = Callable[..., Any]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        try:
            found = find_chromium(Path(playwright.chromium.executable_path))
        except NoBrowserError as error:
            pytest.skip(str(error))
        environment = {**os.environ, **found.environment}
        with playwright.chromium.launch(executable_path=found.executable, env=environment) as started:
            yield started


@pytest.fixture(scope="session")
def report() -> Report:
    return full_report()


@pytest.fixture(scope="session")
def page_file(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "leaderboard.html"
    path.write_text(to_html(report), encoding="utf-8")
    return path


@pytest.fixture
def complaints() -> list[str]:
    """What the console said, what scripts threw, and what was requested beside the page itself."""
    return []


@pytest.fixture
def open_page(browser: Any, page_file: Path, complaints: list[str]) -> Iterator[Open]:
    """Opens a file, by default the full report, in a context of its own; takes the options of a browser context."""
    contexts = []

    def opened(path: Path = page_file, **options: Any) -> Any:
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: request.url != path.as_uri() and complaints.append(request.url))
        page.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            for figure in page.locator("figure[data-picture]").all():
                figure.locator("svg").first.wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
