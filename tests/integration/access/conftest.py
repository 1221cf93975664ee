"""One store and one folder of models for the tests of access."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.access.worker import deployment


@pytest.fixture(scope="package")
def place() -> Iterator[tuple[Path, str]]:
    """The folder and the URL of the store."""
    with deployment() as found:
        yield found
