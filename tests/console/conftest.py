"""The console in a real browser, against the real service with a model of each task."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from tests.console.browser import CHROMIUM, TIMEOUT, launch
from tests.console.pages import Watch
from tests.console.root_path import RootPathProxy
from tests.console.served_models import write_models
from tests.server import ROOT, Server, short_folder

KEY = "key-of-the-console"


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A headless Chromium of the machine. With REQUIRE_CHROMIUM it must start; else the tests are skipped without it.

    It ends with these tests: while it is there, playwright's event loop keeps others of this process from running one.
    """
    if CHROMIUM is None:
        assert not os.environ.get("REQUIRE_CHROMIUM"), "REQUIRE_CHROMIUM is set: expected a Chromium on this machine"
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    expect.set_options(timeout=TIMEOUT)
    with sync_playwright() as playwright:
        try:
            browser = launch(playwright)
        except Error as error:
            if os.environ.get("REQUIRE_CHROMIUM"):
                raise
            pytest.skip(f"the Chromium of this machine does not start: {error.message.splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def models_folder(browser: Browser) -> Iterator[Path]:
    """The bundled models, and one of each other task."""
    with short_folder() as folder:
        write_models(folder)
        yield folder


@pytest.fixture(scope="package")
def shared_server(models_folder: Path) -> Iterator[Server]:
    with short_folder() as folder, Server(folder, models=models_folder) as running:
        yield running


@pytest.fixture
def server(shared_server: Server) -> Server:
    """The shared service, ready, whatever the test before did to it."""
    return shared_server.ensure_ready()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """What the pages of a test reported; at its end, nothing must have gone wrong that the test did not expect."""
    watch = Watch()
    yield watch
    watch.check()


@pytest.fixture
def page(browser: Browser, server: Server, watch: Watch) -> Iterator[Page]:
    """A new tab, watched. Addresses are those below the service: `page.goto("/#/pulse")`."""
    context = browser.new_context(base_url=server.url, viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(TIMEOUT)
    watch.attach(page, server.url)
    yield page
    context.close()


@pytest.fixture(scope="package")
def locked_url() -> Iterator[str]:
    """The address of a service with the bundled models that wants the key KEY, under a path behind a proxy."""
    with (
        short_folder() as folder,
        Server(folder, models=ROOT / "models", api_keys=f"console:{KEY}", root_path="/unroll") as running,
        RootPathProxy(running.url, "/unroll") as proxy,
    ):
        yield proxy.url


@pytest.fixture
def locked_page(browser: Browser, locked_url: str, watch: Watch) -> Iterator[Page]:
    """A new tab, watched, for the service that wants a key. Paths are relative to it: `locked_page.goto("#/pulse")`."""
    with browser.new_context(base_url=locked_url, viewport={"width": 1200, "height": 900}) as context:
        page = context.new_page()
        page.set_default_timeout(TIMEOUT)
        watch.attach(page, locked_url)
        yield page
