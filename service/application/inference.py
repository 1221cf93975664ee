"""Inference on tensors: stateless for a batch of rows, or as a step of a sequence."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from pydantic_core import from_json

from service.application.model_versions.resolver import VersionResolver
from service.application.operation_runner import OperationRunner
from service.application.ports import Engine
from service.application.request_context import RequestContext
from service.application.sequences import Sequence, Sequences
from service.domain.errors import InvalidRequest
from service.domain.models import ModelVersion
from service.domain.operations import Infer, Json, PredictOptions
from service.domain.sessions import LOGGED_CHARACTERS
from service.domain.tensor_interface import TensorInterface
from service.domain.tensors import ACCEPTED, Tensor

#: The most rows of a batch, as of the inputs of a native prediction.
MAX_BATCH_ROWS = 1024


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """The tensors of a request, the outputs that it wants, all if it names none, and its part in a sequence, if any."""

    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...] = ()
    options: PredictOptions = field(default_factory=PredictOptions)
    sequence: Sequence | None = None


@dataclass(frozen=True, slots=True)
class InferenceResponse:
    """The output tensors; of a step of a sequence also its session and the step count after it."""

    model: str
    version: str
    outputs: list[Tensor]
    rows: int
    session_id: str | None = None
    step: int | None = None
    replayed: bool = False

    def progress(self) -> dict[str, Json]:
        """Return the beginning of the session's id and the step, as fields of a log line."""
        session = None if self.session_id is None else self.session_id[:LOGGED_CHARACTERS]
        return {"session": session, "step": self.step}

    @property
    def size(self) -> int:
        """The size of all tensors in bytes."""
        return sum(len(tensor.data) for tensor in self.outputs)


@dataclass(frozen=True, slots=True)
class TensorModel:
    """A model version and its tensors."""

    version: ModelVersion
    interface: TensorInterface


class Inference:
    """Use cases of inference on tensors."""

    def __init__(
        self, models: VersionResolver, engine: Engine, operations: OperationRunner, sequences: Sequences
    ) -> None:
        self._models = models
        self._engine = engine
        self._operations = operations
        self._sequences = sequences

    async def model(self, context: RequestContext, model: str, version: str | None) -> TensorModel:
        """Return the newest or the requested version. Raises ModelNotFound, VersionNotFound, ModelNotReady."""
        return self._with_tensors(await self._models.requested(context, model, version))

    def _with_tensors(self, version: ModelVersion) -> TensorModel:
        interface = self._engine.tensors(version)
        if interface is None:
            raise InvalidRequest(f"model {version.name} has no tensors: expected a model that has some", param="model")
        return TensorModel(version, interface)

    async def infer(self, context: RequestContext, model: TensorModel, request: InferenceRequest) -> InferenceResponse:
        """Answer a request. Raises InvalidRequest, and as `Predictions.predict_many` and `Sequences.apply`."""
        if request.sequence is not None and not model.interface.has_sequences:
            raise InvalidRequest(
                f"sequence_id is given: expected none, since model {model.version.name} has no sequences",
                param="sequence_id",
            )
        operations, outputs = self._read(model, request)
        if request.sequence is not None:
            return await self._step(context, model, request.sequence, operations, outputs)
        outcomes = await self._operations.run_together(context, model.version, operations)
        tensors = model.interface.tensors([outcome.output for outcome in outcomes], outputs)
        return InferenceResponse(model.version.name, model.version.version, tensors, len(operations))

    def _read(self, model: TensorModel, request: InferenceRequest) -> tuple[list[Infer], tuple[str, ...]]:
        """Return the operations of a request and the names of its outputs."""
        known = {spec.name: spec.datatype for spec in (*model.interface.inputs, *model.interface.unlisted_inputs)}
        _require_known("inputs", request.inputs, known)
        names = tuple(spec.name for spec in model.interface.outputs)
        _require_known("outputs", request.outputs, names)
        outputs = tuple(dict.fromkeys(request.outputs)) or names
        for name, tensor in request.inputs.items():
            if tensor.datatype not in ACCEPTED[known[name]]:
                raise InvalidRequest(
                    f"{name} has the datatype {tensor.datatype}: expected {known[name]}, as the model describes it",
                    param=name,
                )
            if not tensor.shape or not 1 <= tensor.shape[0] <= MAX_BATCH_ROWS:
                raise InvalidRequest(
                    f"{name} has the shape {[*tensor.shape]}: expected a batch of 1 to {MAX_BATCH_ROWS} rows",
                    param=name,
                )
        _require_opening(model.interface.opening_inputs, request)
        return model.interface.operations(request.inputs, request.options, outputs), outputs

    async def _step(
        self,
        context: RequestContext,
        model: TensorModel,
        sequence: Sequence,
        operations: list[Infer],
        outputs: tuple[str, ...],
    ) -> InferenceResponse:
        if len(operations) != 1:
            raise InvalidRequest(
                f"the batch has {len(operations)} rows: expected one, since a request belongs to one sequence",
                param="inputs",
            )
        response = await self._sequences.apply(context, model.version, sequence, operations[0])
        result = from_json(response.body)
        version = result["version"]
        if version != model.version.version:
            served = self._engine.find(model.version.name, version)
            model = model if served is None else self._with_tensors(served)
        tensors = model.interface.tensors([result["output"]], outputs)
        return InferenceResponse(
            result["model"], version, tensors, 1, result["session_id"], result["step"], response.replayed
        )


def _require_opening(names: Iterable[str], request: InferenceRequest) -> None:
    """Raise InvalidRequest for an input that a sequence begins with, if it is missing there, or given behind it."""
    begins = request.sequence is None or request.sequence.start
    for name in names:
        if begins and name not in request.inputs:
            raise InvalidRequest(f"inputs lacks {name}: expected it, since a sequence begins with it", param="inputs")
        if not begins and name in request.inputs:
            raise InvalidRequest(
                f"inputs has {name}: expected it in the first request of a sequence alone, with sequence_start",
                param="inputs",
            )


def _require_known(what: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise InvalidRequest for the first name of a tensor that the model does not have."""
    for name in names:
        if name not in known:
            raise InvalidRequest(f"{what} has {name[:80]!r}: expected one of {', '.join(known)}", param=what)
