"""Pictures of the console for the documentation: runs each scene, and takes a picture of what it shows.

python -m tests.console.screenshots docs/console [--only pulse ...]
"""

import argparse
import contextlib
import importlib
import io
import pkgutil
import sys
import threading
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.console import scenes
from tests.console.browser import TIMEOUT, launch
from tests.console.served_models import write_models
from tests.server import Server, new_session, short_folder, step

WIDTH, MOST_HEIGHT = 1200, 1500
#: Numbers of colours to try, until a picture has fewer than MOST_BYTES.
COLOURS, MOST_BYTES = (128, 64, 32, 16), 150_000
#: Milliseconds that a scene goes on before its picture is taken: curves over time need some.
LASTS = {"pulse": 30_000}
WORDS = ["I", "would", "like", "a", "cup", "of", "tea", ",", "please", "."]


def take(page: Page, name: str) -> bytes:
    """Bring a page to a scene, and return its picture as PNG."""
    importlib.import_module(f"{scenes.__name__}.{name}").show(page)
    page.wait_for_timeout(LASTS.get(name, 0))
    page.mouse.move(0, 0)
    expect(page.locator(".loading")).to_have_count(0)
    height = page.evaluate("document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": min(height, MOST_HEIGHT)}
    return page.screenshot(full_page=True, clip=clip, animations="disabled")  # type: ignore[arg-type]


def shrink(picture: bytes) -> bytes:
    """Return a PNG of few colours, which takes a third of the bytes."""
    from PIL import Image  # noqa: PLC0415 - pictures are taken on request only

    image = Image.open(io.BytesIO(picture)).convert("RGB")
    small = io.BytesIO()
    for colours in COLOURS:
        small = io.BytesIO()
        image.quantize(colours, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
        if small.tell() < MOST_BYTES:
            break
    return small.getvalue()


@contextlib.contextmanager
def traffic(server: Server) -> Iterator[None]:
    """Step a session all the time, so that the service has a pulse."""
    stopped = threading.Event()

    def run() -> None:
        with server.client() as http:
            session = new_session(http, "next-word")
            for word in cycle(WORDS):
                step(http, session, word)
                if stopped.wait(0.1):
                    return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def take_all(browser: Browser, url: str, names: list[str], folder: Path) -> list[str]:
    """Write the pictures of scenes; returns those that failed."""
    failed = []
    for name in names:
        with browser.new_context(
            base_url=url, viewport={"width": WIDTH, "height": 900}, color_scheme="light"
        ) as context:
            page = context.new_page()
            page.set_default_timeout(TIMEOUT)
            try:
                path = folder / f"{name}.png"
                path.write_bytes(shrink(take(page, name)))
                sys.stdout.write(f"{path}: {path.stat().st_size / 1000:.0f} kB\n")
            except Exception as error:  # noqa: BLE001 - the other scenes are independent of it
                sys.stderr.write(f"{name}: {error}\n")
                failed.append(name)
    return failed


def main() -> int:
    """Take the pictures; returns the exit status."""
    known = sorted(module.name for module in pkgutil.iter_modules(scenes.__path__))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=known, default=known)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=TIMEOUT)
    with short_folder() as models, short_folder() as folder, sync_playwright() as playwright:
        write_models(models)
        with Server(folder, models=models) as server, traffic(server):
            browser = launch(playwright)
            failed = take_all(browser, server.url, arguments.only, arguments.folder)
            browser.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
