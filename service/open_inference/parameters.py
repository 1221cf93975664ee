"""Parameters of a request: its part in a sequence, and the options of its prediction."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from service.application.inference import InferenceRequest, InferenceResponse
from service.application.sequences import Sequence
from service.domain.errors import InvalidRequest
from service.domain.operations import Json, PredictOptions

#: Returns the options of a prediction, given their values by name. Raises InvalidRequest.
OptionsReader: TypeAlias = Callable[[dict[str, Any]], PredictOptions]

SEQUENCE_PARAMETERS = frozenset({"sequence_id", "sequence_start", "sequence_end", "step"})
#: Parameters that say how urgent a request is. Clients share a worker by other rules, so they change nothing.
IGNORED_PARAMETERS = frozenset({"priority", "timeout"})
MAX_SEQUENCE_ID = 2**64 - 1
MAX_SEQUENCE_ID_CHARACTERS = 255
MAX_STEP = 2**62


@dataclass(frozen=True, slots=True)
class RequestParameters:
    """The parameters of a request."""

    sequence: Sequence | None
    options: PredictOptions
    binary_output: bool


def read_parameters(parameters: Mapping[str, Any], read_options: OptionsReader) -> RequestParameters:
    """Return the parameters of a request. Raises InvalidRequest for one that is wrong or not known."""
    options = {
        name: value
        for name, value in parameters.items()
        if name not in SEQUENCE_PARAMETERS | IGNORED_PARAMETERS | {"binary_data_output"}
    }
    binary_output = read_flag(parameters, "binary_data_output")
    return RequestParameters(_read_sequence(parameters), _read_options(options, read_options), binary_output)


def read_flag(parameters: Mapping[str, Any], name: str) -> bool:
    """Return a parameter that is true or false, and false if it is left out. Raises InvalidRequest."""
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name} is {str(value)[:40]!r}: expected true or false", param=name)
    return value


def _read_options(options: dict[str, Any], read_options: OptionsReader) -> PredictOptions:
    if isinstance(options.get("quantiles"), str):
        try:
            options["quantiles"] = [float(level) for level in options["quantiles"].split(",")]
        except ValueError:
            raise InvalidRequest(
                f"parameters.quantiles is {options['quantiles'][:80]!r}: expected levels separated by commas",
                param="quantiles",
            ) from None
    try:
        return read_options(options)
    except InvalidRequest as invalid:
        raise invalid.with_message(f"parameters.{invalid.message}", invalid.param) from None


def _read_sequence(parameters: Mapping[str, Any]) -> Sequence | None:
    start, end = read_flag(parameters, "sequence_start"), read_flag(parameters, "sequence_end")
    sequence_id = _read_id(parameters.get("sequence_id", 0))
    step = parameters.get("step")
    if step is not None and (type(step) is not int or not 0 <= step <= MAX_STEP):
        raise InvalidRequest(f"parameters.step is {str(step)[:40]!r}: expected an integer of 0 or more", param="step")
    if sequence_id is not None:
        return Sequence(sequence_id, start, end, step)
    if start or end or step is not None:
        raise InvalidRequest(
            "sequence_start, sequence_end or step is given without a sequence_id: expected the id of the sequence",
            param="sequence_id",
        )
    return None


def _read_id(value: object) -> int | str | None:
    """Return the id of a sequence, None for 0 and an empty text. Raises InvalidRequest."""
    if type(value) is int and 0 <= value <= MAX_SEQUENCE_ID:
        return value or None
    if isinstance(value, str) and len(value) <= MAX_SEQUENCE_ID_CHARACTERS and value.isprintable():
        return value or None
    raise InvalidRequest(
        f"sequence_id is {str(value)[:80]!r}: expected an integer from 0 to {MAX_SEQUENCE_ID}, or a printable text of "
        f"at most {MAX_SEQUENCE_ID_CHARACTERS} characters",
        param="sequence_id",
    )


def response_parameters(response: InferenceResponse, request: InferenceRequest) -> dict[str, Json]:
    """Return the parameters of a response: those of the step of a sequence."""
    if request.sequence is None:
        return {}
    return {
        "sequence_id": request.sequence.id,
        "session_id": response.session_id,
        "step": response.step,
        "replayed": response.replayed,
    }
