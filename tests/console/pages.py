"""What the tests of the console look at in every page: requests, messages of the browser, accessibility."""

from dataclasses import dataclass, field

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, Page, Request

_AXE = Axe()


@dataclass
class Watch:
    """Requests that left the service, errors of scripts, and messages of the browser's console.

    `expected` are words of messages that a test causes itself, such as the browser's line for an answer of status 503.
    """

    foreign: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def attach(self, page: Page, origin: str) -> None:
        """Follow a page of the service at `origin`."""
        page.on("request", lambda request: self._note_request(request, origin))
        page.on("console", self._note_message)
        page.on("pageerror", lambda error: self.problems.append(str(error)))

    def check(self) -> None:
        """Assert that no request left the service, and that the browser reported nothing but what was expected."""
        assert not self.foreign
        unexpected = [text for text in self.problems if not any(words in text for words in self.expected)]
        assert not unexpected

    def _note_request(self, request: Request, origin: str) -> None:
        if not request.url.startswith((origin, "data:", "blob:", origin.replace("http", "ws", 1))):
            self.foreign.append(request.url)

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(f"{message.text} ({message.location.get('url', '')})")


def assert_accessible(page: Page) -> None:
    """Assert that axe finds nothing in the page as it is."""
    results = _AXE.run(page)
    assert results.violations_count == 0, results.generate_report()
