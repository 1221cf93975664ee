"""Parts of a worker that load model folders, and the run of one operation without a server."""

from collections.abc import Sequence
from pathlib import Path

import torch

from service.domain.operations import ComputeDtype, Device, Operation, Outcome
from service.engine.loaded_models import ModelRegistry, load_version
from service.engine.model_repository import FolderModelRepository
from service.engine.runner import run_operation
from service.settings import Settings
from service.tasks.architecture_spec import AnyArchitecture
from service.tasks.limits import TextLimits


def text_limits(settings: Settings) -> TextLimits:
    """Return the limits that a request's text must keep."""
    return TextLimits(settings.max_input_tokens, settings.max_generated_tokens)


def make_repository(
    settings: Settings, registry: ModelRegistry, architectures: Sequence[AnyArchitecture]
) -> FolderModelRepository:
    """Return the repository of the model folders, which loads versions into the registry."""
    return FolderModelRepository(
        settings.models,
        registry,
        text_limits(settings),
        settings.dtype_of,
        settings.device,
        architectures=architectures,
        load_seconds=settings.model_load_seconds,
    )


def run_once(
    folder: Path, operation: Operation, limits: TextLimits, dtype: ComputeDtype | None, device: Device
) -> Outcome:
    """Load one model version and run one operation, without a server.

    Raises ModelFolderError, InvalidRequest, and SettingsError for the device.
    """
    torch.set_num_threads(1)
    task = load_version(folder, limits, dtype, device).task
    return run_operation(task, operation, task.initial_state)
