"""A translation task that the tests of this folder share."""

import pytest

from service.tasks.translation.task import TranslationTask
from tests.integration.tasks.translation.translator import make_task


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> TranslationTask:
    return make_task(tmp_path_factory.mktemp("models"))
