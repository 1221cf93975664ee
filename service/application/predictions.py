"""Stateless predictions, scores and generations, which start from the initial state and store nothing."""

import asyncio

from service.application.model_versions.resolver import VersionResolver
from service.application.ports import Engine
from service.application.request_context import RequestContext
from service.domain.errors import UnrollError
from service.domain.models import ModelVersion
from service.domain.operations import Json, Operation, Outcome


class Predictions:
    """Use cases that run operations on the newest or the requested version of a model."""

    def __init__(self, models: VersionResolver, engine: Engine) -> None:
        self._models = models
        self._engine = engine

    async def predict_one(
        self, context: RequestContext, model: str, version: str | None, operation: Operation
    ) -> dict[str, Json]:
        """Run one operation and return the answer.

        Raises ModelNotFound, VersionNotFound, ModelNotReady, InvalidRequest.
        """
        async with context.deadline.enforce():
            loaded = await self._models.version(model, version)
            outcome = await self._engine.run(loaded, operation, None, context.deadline.at)
        return {**_version_fields(loaded), "output": outcome.output, "usage": _usage([outcome])}

    async def predict_many(
        self, context: RequestContext, model: str, version: str | None, operations: list[Operation]
    ) -> dict[str, Json]:
        """Run several operations concurrently and return `outputs` in their order. If one fails, all fail."""
        async with context.deadline.enforce():
            loaded = await self._models.version(model, version)
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(self._run_indexed(loaded, operation, index, context))
                        for index, operation in enumerate(operations)
                    ]
            except* UnrollError as failures:
                raise _first(failures) from None
        outcomes = [task.result() for task in tasks]
        return {
            **_version_fields(loaded),
            "outputs": [outcome.output for outcome in outcomes],
            "usage": _usage(outcomes),
        }

    async def _run_indexed(
        self, loaded: ModelVersion, operation: Operation, index: int, context: RequestContext
    ) -> Outcome:
        """Run one of several operations. Errors name its input by index."""
        try:
            return await self._engine.run(loaded, operation, None, context.deadline.at)
        except UnrollError as error:
            if error.param is None or not error.param.startswith("input"):
                raise
            message, param = (f"inputs[{index}]{text.removeprefix('input')}" for text in (error.message, error.param))
            raise error.with_message(message, param) from error.__cause__


def _first(failures: ExceptionGroup[UnrollError]) -> UnrollError:
    first = failures.exceptions[0]
    return first if isinstance(first, UnrollError) else _first(first)


def _version_fields(version: ModelVersion) -> dict[str, Json]:
    return {"model": version.name, "version": version.version}


def _usage(outcomes: list[Outcome]) -> dict[str, Json]:
    usage: dict[str, Json] = {"timesteps": sum(outcome.timesteps for outcome in outcomes)}
    generated = sum(outcome.generated for outcome in outcomes)
    return usage | {"generated_tokens": generated} if generated else usage
