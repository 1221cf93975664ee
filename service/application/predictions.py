"""Stateless predictions, scores and generations, which start from the initial state and store nothing."""

from collections.abc import Sequence

from service.application.model_versions.resolver import VersionResolver
from service.application.operation_runner import OperationRunner
from service.application.ports import TokenReceiver
from service.application.request_context import RequestContext
from service.application.token_stream import IndexedReceiver, TokenBuffer, TokenStream
from service.domain.models import ModelVersion
from service.domain.operations import Generate, Json, Operation, Outcome


class Predictions:
    """Use cases that run operations on the newest or the requested version of a model."""

    def __init__(self, models: VersionResolver, operations: OperationRunner) -> None:
        self._models = models
        self._operations = operations

    async def predict_one(
        self,
        context: RequestContext,
        model: str,
        version: str | None,
        operation: Operation,
        receiver: TokenReceiver | None = None,
    ) -> dict[str, Json]:
        """Run one operation and return the answer; `receiver` gets the tokens of a generation.

        Raises ModelNotFound, VersionNotFound, ModelNotReady, InvalidRequest.
        """
        loaded = await self._models.requested(context, model, version)
        outcome = await self._operations.run(context, loaded, operation, receiver=receiver)
        return {**_version_fields(loaded), "output": outcome.output, "usage": _usage([outcome])}

    def stream(
        self, context: RequestContext, model: str, version: str | None, operation: Generate
    ) -> TokenStream[dict[str, Json]]:
        """Return a stream of the tokens of a generation. Its answer, and what it raises, are those of `predict_one`."""

        async def generate(buffer: TokenBuffer) -> dict[str, Json]:
            return await self.predict_one(context, model, version, operation, buffer)

        return TokenStream(context.deadline.clock.monotonic(), generate)

    def stream_many(
        self, context: RequestContext, model: str, version: str | None, operations: Sequence[Generate]
    ) -> TokenStream[dict[str, Json]]:
        """Return a stream of the tokens of several generations, told apart by their `index`.

        Its answer, and what it raises, are those of `predict_many`.
        """

        async def generate(buffer: TokenBuffer) -> dict[str, Json]:
            receivers = [IndexedReceiver(buffer, index) for index in range(len(operations))]
            return await self.predict_many(context, model, version, operations, receivers)

        return TokenStream(context.deadline.clock.monotonic(), generate)

    async def predict_many(
        self,
        context: RequestContext,
        model: str,
        version: str | None,
        operations: Sequence[Operation],
        receivers: Sequence[TokenReceiver] = (),
    ) -> dict[str, Json]:
        """Run several operations concurrently and return `outputs` in their order. If one fails, all fail."""
        loaded = await self._models.requested(context, model, version)
        outcomes = await self._operations.run_together(context, loaded, operations, receivers)
        return {
            **_version_fields(loaded),
            "outputs": [outcome.output for outcome in outcomes],
            "usage": _usage(outcomes),
        }


def _version_fields(version: ModelVersion) -> dict[str, Json]:
    return {"model": version.name, "version": version.version}


def _usage(outcomes: list[Outcome]) -> dict[str, Json]:
    usage: dict[str, Json] = {"timesteps": sum(outcome.timesteps for outcome in outcomes)}
    generated = sum(outcome.generated for outcome in outcomes)
    return usage | {"generated_tokens": generated} if generated else usage
