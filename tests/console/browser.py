"""The Chromium of the machine, by which tests and pictures open the console."""

import shutil
from typing import Final

from playwright.sync_api import Browser, Playwright

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
#: Milliseconds that a page may take for what a test waits for.
TIMEOUT: Final = 20_000


def launch(playwright: Playwright) -> Browser:
    """Start it without a window."""
    # Containers and CI often run as root without the name spaces that the sandbox needs.
    return playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
