"""Inputs in request bodies: text for language models, values for forecasting models, tensors for graphs."""

from typing import Annotated, Any, ClassVar, NoReturn, cast

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from service.domain.operations import Input as DomainInput
from service.domain.operations import SeriesInput, TensorInput, TextInput
from service.http.schemas.series import (
    EvenTimes,
    Rows,
    fit_times,
    read_future,
    read_times,
    read_values,
    reject,
    to_excerpt,
)
from service.http.schemas.strict import Schema, Text
from service.http.schemas.targets import Target
from service.http.schemas.tensors import read_tensors
from service.http.schemas.vectors import read_vector

FORMS = ("text", "tokens", "ids", "values", "tensors")


def _rows_of(number: str | list[str]) -> dict[str, Any]:
    row = {"type": "array", "items": {"type": number}, "minItems": 1}
    return {"type": "array", "items": {"anyOf": [{"type": number}, row]}, "minItems": 1}


_TIME = {"type": "string", "format": "date-time"}
_STEP = {"type": "number", "exclusiveMinimum": 0}
_EVEN_TIMES = {
    "type": "object",
    "properties": {"start": _TIME, "step_seconds": _STEP},
    "required": ["start", "step_seconds"],
    "additionalProperties": False,
}
_TIMES = {"anyOf": [{"type": "array", "items": _TIME, "minItems": 1}, _EVEN_TIMES]}

Values = Annotated[Rows, PlainValidator(read_values), WithJsonSchema(_rows_of(["number", "null"]))]
Future = Annotated[Rows, PlainValidator(read_future), WithJsonSchema(_rows_of("number"))]
Times = Annotated[tuple[int, ...] | EvenTimes, PlainValidator(read_times), WithJsonSchema(_TIMES)]
_TENSORS = {"type": "object", "additionalProperties": {}, "minProperties": 1}
Tensors = Annotated[tuple[Any, ...], PlainValidator(read_tensors), WithJsonSchema(_TENSORS)]
_VECTOR = {"type": "array", "items": {"type": "number"}, "minItems": 1}
Vector = Annotated[tuple[float, ...], PlainValidator(read_vector), WithJsonSchema(_VECTOR)]


class Input(Schema):
    """Text in one of three forms, observations, or tensors; or the vector that a conditioned model begins with."""

    may_be_future_alone: ClassVar[bool] = False

    text: Text | None = Field(None, description="Text as people type it", examples=["How are you"])
    # Of the errors of a request the first one is reported, and to collect those of all tokens takes seconds.
    tokens: list[Annotated[Text, Field(min_length=1)]] | None = Field(
        None, min_length=1, fail_fast=True, description="Words and marks, already separated"
    )
    ids: list[int] | None = Field(None, min_length=1, fail_fast=True, description="Ids of the model's vocabulary")
    target: Target | None = Field(
        None,
        description="Scores of translations: the translation of `text`. Classification, tagging and regression: the "
        "label or labels, or the numbers, that turned out, with which the answer is compared",
    )
    values: Values | None = Field(
        None,
        description="Models of numbers: observations in order of time, a number each where the model has one feature, "
        "else a row of its features; null where one is missing",
    )
    timestamps: Times | None = Field(
        None, description="Forecasting: a time for each row, or the first one and the seconds from each to the next"
    )
    future: Future | None = Field(
        None, description="Forecasting: what is known in advance, a row for each step ahead, where the model has such"
    )
    tensors: Tensors | None = Field(
        None, description="Tensors of an ONNX graph: nested lists of numbers by the names of its inputs"
    )
    steps: bool = Field(False, description="Beside `tensors`: the first axis of each has timesteps, fed in order")
    vector: Vector | None = Field(
        None,
        description="Conditioned generation: what a sequence begins with, such as the features of an image. Beside "
        "text or alone, never in a step of a session",
    )

    @model_validator(mode="after")
    def _check(self) -> "Input":
        forms = [name for name in FORMS if getattr(self, name) is not None]
        if len(forms) == len(self.model_fields_set) == 1:
            return self
        if not forms and self._may_stand_alone():
            return self
        if len(forms) != 1:
            self._reject_forms(forms)
        self._check_combination(is_text=bool(forms) and self.values is None and self.tensors is None)
        return self

    def _may_stand_alone(self) -> bool:
        """Return whether the input is complete without a text, observations or tensors: by a vector, or by `future`."""
        if self.vector is not None:
            return len(self.model_fields_set) == 1
        if self.may_be_future_alone and self.future is not None:
            self._check_combination(is_text=False)
            return True
        return False

    def _reject_forms(self, forms: list[str]) -> NoReturn:
        alone = ", or future alone" if self.may_be_future_alone else ""
        count = " and ".join(forms) or "nothing"
        raise ValueError(f"{count} given: expected exactly one of {', '.join(FORMS)}{alone}")

    def _check_combination(self, *, is_text: bool) -> None:
        if self.target is not None and not is_text and self.values is None:
            reject(self.target, "expected it beside text or values", "target")
        if self.future is not None and (is_text or self.tensors is not None):
            reject(self.future.rows, "expected it beside values only", "future")
        self._check_vector(is_text=is_text)
        if "steps" in self.model_fields_set and self.tensors is None:
            reject(self.steps, "expected it beside tensors only", "steps")
        if self.timestamps is not None:
            self.timestamps = self._fitted(self.timestamps)

    def _fitted(self, timestamps: tuple[int, ...] | EvenTimes) -> tuple[int, ...]:
        """Return a time for each row of the values."""
        if self.values is None:
            reject(to_excerpt(timestamps), "expected it beside values only, a time for each row", "timestamps")
        return fit_times(timestamps, len(self.values.rows))

    def _check_vector(self, *, is_text: bool) -> None:
        if self.vector is not None and not is_text:
            reject([*self.vector[:5]], "expected it alone, or beside text, tokens or ids", "vector")

    def to_domain(self) -> DomainInput:
        """Return the input as a TextInput, a SeriesInput or a TensorInput."""
        if self.tensors is not None:
            return TensorInput(self.tensors, self.steps)
        if self.values is None and self.future is None:
            return TextInput(
                self.text,
                None if self.tokens is None else tuple(self.tokens),
                None if self.ids is None else tuple(self.ids),
                self.target,
                self.vector,
            )
        return SeriesInput(
            None if self.values is None else self.values.rows,
            self.values is not None and self.values.flat,
            cast("tuple[int, ...] | None", self.timestamps),
            None if self.future is None else cast("tuple[tuple[float, ...], ...]", self.future.rows),
            self.target,
        )


class LookInput(Input):
    """As the input of a step; or `future` alone, to ask what would come if that were known in advance."""

    may_be_future_alone: ClassVar[bool] = True
