"""The tasks that outputs of a sequence can be for."""

from collections.abc import Callable
from typing import Final

from service.nets.config.task_outputs import TaskOutputs
from service.tasks.classification.answers import Classification
from service.tasks.embedding.answers import Embedding
from service.tasks.regression.answers import Regression
from service.tasks.sequence_encoding.answers import OutputTask
from service.tasks.tagging.answers import Tagging, TaggingNetwork

OUTPUT_TASKS: Final[dict[str, Callable[[TaskOutputs, TaggingNetwork], OutputTask]]] = {
    task.name: task for task in (Classification, Tagging, Regression, Embedding)
}
