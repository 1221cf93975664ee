"""config.json of a forecaster: inputs, targets, horizon and distribution."""

import re
from collections.abc import Iterator
from itertools import chain, combinations, pairwise
from typing import Annotated, Literal

from pydantic import Field

from service.nets.config.architecture_config import WindowConfig
from service.nets.config.feed_forward import LinearConfig, output_width
from service.nets.config.rnn_spec import StateSpec
from service.nets.config.sections import PREPROCESSOR_FILE, Names, RnnConfig, StackConfig, Violation
from service.nets.config.strict_model import StrictModel

Decoding = Literal["direct", "autoregressive"]
Distribution = Literal["point", "gaussian", "student_t", "quantiles"]
Calendar = Literal["hour_of_day", "day_of_week", "day_of_year"]

#: Numbers per calendar feature: sine and cosine, or one per day.
CALENDAR_WIDTHS: dict[str, int] = {"hour_of_day": 2, "day_of_week": 7, "day_of_year": 2}
PARAMETERS: dict[str, int] = {"point": 1, "gaussian": 2, "student_t": 3}
FREQUENCY = re.compile(r"([1-9][0-9]{0,6})(s|min|h|d)")
UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


class ScaleConfig(StrictModel):
    """How the scale of a distribution follows from an output: activation(output) + minimum.

    `exp_half` is exp(output / 2), for outputs that are the logarithm of the variance.
    """

    activation: Literal["softplus", "exp", "exp_half"] = "softplus"
    minimum: Annotated[float, Field(ge=0, le=1)] = 1e-4


class SelfFeedingDecoderConfig(StackConfig):
    """Recurrent layers that continue the state after the last row, and read their own forecasts step by step.

    They first read the last targets, or zeros.
    """

    start: Literal["last", "zeros"] = "last"


class ForecasterConfig(WindowConfig):
    """The fields of a forecaster."""

    task: Literal["forecasting"]
    architecture: Literal["forecaster"]
    features: Annotated[Names, Field(min_length=1)]
    target: Annotated[Names, Field(min_length=1)]
    known: Names = Field(default=[])
    static: Names = Field(default=[])
    calendar: Annotated[list[Calendar], Field(max_length=16)] = Field(default=[])
    frequency: str | None = None
    horizon: Annotated[int, Field(ge=1, le=65536)]
    decoding: Decoding = "direct"
    distribution: Distribution
    quantiles: Annotated[list[float], Field(max_length=1024)] = Field(default=[])
    missing_indicator: bool = False
    season: Annotated[int, Field(ge=0, le=65536)] = 0
    context: LinearConfig | None = None
    local: LinearConfig | None = None
    decoder: SelfFeedingDecoderConfig | None = None
    scale: ScaleConfig = Field(default=ScaleConfig())
    path_correlation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    readout: Literal["last", "last_output"] | None = None

    @property
    def reads_ends(self) -> bool:
        """Whether the features are those of the last output of each direction, not of the output at the last row."""
        return self.readout == "last"

    @property
    def companion_files(self) -> tuple[str, ...]:
        """The file of the preprocessor."""
        return (PREPROCESSOR_FILE,)

    @property
    def input_width(self) -> int:
        """Number of inputs of a row."""
        return self.width

    @property
    def session_layers(self) -> RnnConfig:
        """All recurrent layers."""
        return self

    @property
    def features_size(self) -> int:
        """Width of the features; in front of a decoder, of the state that it continues and the last targets."""
        if self.decoder is None:
            return super().features_size
        return sum(spec.shape[0] for spec in self.rnn_spec().recurrent_state()) + len(self.target)

    @property
    def stores_features(self) -> bool:
        """Whether a session stores the features."""
        return self.decoder is not None or super().stores_features

    @property
    def width(self) -> int:
        """Number of inputs of a row: features, indicators of missing values, calendar features."""
        indicators = len(self.features) - len(self.static) if self.missing_indicator else 0
        return len(self.features) + indicators + self.calendar_width

    @property
    def calendar_width(self) -> int:
        """Number of calendar features of a row."""
        return sum(CALENDAR_WIDTHS[name] for name in self.calendar)

    @property
    def future_width(self) -> int:
        """Number of features of a step ahead: covariates, calendar features, the values one season before."""
        return len(self.known) + self.calendar_width + (len(self.target) if self.season else 0)

    @property
    def steps(self) -> int:
        """Number of steps ahead that one pass of the output layers forecasts."""
        return self.horizon if self.decoding == "direct" else 1

    @property
    def parameters(self) -> int:
        """Number of parameters of the distribution of one target at one step."""
        return PARAMETERS.get(self.distribution, len(self.quantiles))

    @property
    def step_seconds(self) -> int | None:
        """Seconds from one row to the next, or None if the model does not state them."""
        match = FREQUENCY.fullmatch(self.frequency or "")
        return int(match[1]) * UNITS[match[2]] if match else None

    def session_state(self) -> list[StateSpec]:
        """Return the recurrent tensors or the window, the features where needed, the last row, a season of targets."""
        season = [StateSpec("history", (self.season, len(self.target)))] if self.season else []
        return [*self.stream_state((self.width,)), StateSpec("last", (len(self.features),)), *season]

    def violations(self) -> Iterator[Violation]:
        """Yield the fields that are valid on their own but contradict each other."""
        if depth := self.depth_violation():
            yield depth
            return
        yield from self.projection_violations()
        yield from self.connection_violations()
        yield from self._direction_violations()
        yield from self.convolution_violations()
        yield from self._name_violations()
        yield from self._time_violations()
        yield from self.input_violations(f"{self.width} (features, indicators, calendar), or input_projection true")
        yield from self._output_violations()

    def _direction_violations(self) -> Iterator[Violation]:
        spec = self.rnn_spec()
        if spec.reads_backwards and self.window is None:
            yield "bidirectional", "true", "false, or a window: without one, a forecaster cannot read what comes next"
        both = spec.layers[-1].bidirectional
        if both and self.readout is None:
            yield "readout", "nothing", "last or last_output, since the last layer reads in both directions"
        elif not both and self.readout is not None:
            yield "readout", self.readout, "null: the last layer reads in one direction, and its last output is read"

    def _name_violations(self) -> Iterator[Violation]:
        for field in ("features", "target", "known", "static"):
            names: list[str] = getattr(self, field)
            if len(set(names)) != len(names):
                yield field, names, "each name once"
            elif foreign := [name for name in names if name not in self.features]:
                yield field, foreign[0], f"only names of features ({', '.join(self.features)[:200]})"
            elif names != [name for name in self.features if name in names]:
                yield field, names, "the order of features"
        yield from self._role_violations()

    def _role_violations(self) -> Iterator[Violation]:
        roles = {"target": self.target, "known": self.known, "static": self.static}
        for first, second in combinations(roles, 2):
            if both := sorted({*roles[first]} & {*roles[second]}):
                yield second, both[0], f"no name that is in {first} too"
        assigned = {*self.target, *self.known, *self.static}
        unassigned = [name for name in self.features if name not in assigned]
        if self.decoding == "autoregressive" and unassigned:
            expected = "only target, known and static ones, since what is fed back must be forecast"
            yield "features", unassigned[0], expected

    def _time_violations(self) -> Iterator[Violation]:
        if self.frequency is not None and self.step_seconds is None:
            yield "frequency", self.frequency, 'null or a number of s, min, h or d, as in "30min"'
        if self.calendar and self.frequency is None:
            yield "frequency", "null", "one, since calendar features of the steps ahead follow from it"
        if self.calendar != [name for name in CALENDAR_WIDTHS if name in self.calendar]:
            yield "calendar", self.calendar, f"each once, in the order {', '.join(CALENDAR_WIDTHS)}"

    def _output_violations(self) -> Iterator[Violation]:
        if "scale" in self.model_fields_set and self.distribution not in {"gaussian", "student_t"}:
            yield "scale", self.scale.activation, f"none, since distribution is {self.distribution}"
        if self.distribution != "quantiles" and self.quantiles:
            yield "quantiles", self.quantiles, f"none, since distribution is {self.distribution}"
        if self.distribution == "quantiles" and not self._ascending():
            yield "quantiles", self.quantiles, "at least two levels inside (0, 1), ascending"
        yield from self._decoding_violations()
        if self.decoder is not None:
            yield from self._decoder_violations(self.decoder)

    def _decoder_violations(self, decoder: SelfFeedingDecoderConfig) -> Iterator[Violation]:
        if depth := decoder.depth_violation():
            yield f"decoder.{depth[0]}", *depth[1:]
            return
        for field, value, expected in chain(decoder.projection_violations(), decoder.cell_violations()):
            yield f"decoder.{field}", value, expected
        reads = output_width(decoder.input_layers, len(self.target))
        if decoder.input_size != reads:
            yield "decoder.input_size", decoder.input_size, f"{reads}, the targets that it reads"
        own, continued = (
            {spec.name: spec.shape for spec in section.rnn_spec().recurrent_state()} for section in (decoder, self)
        )
        if own != continued:
            yield "decoder", decoder.cell, "layers of the cells and sizes of those whose state it continues"
        others = {"context": self.context, "local": self.local, "season": self.season, "residual": self.output_residual}
        if self.decoding != "direct" or self.distribution == "quantiles" or any(others.values()):
            expected = "null: it needs direct decoding, no quantiles, and no context, local, season or output_residual"
            yield "decoder", decoder.cell, expected

    def _decoding_violations(self) -> Iterator[Violation]:
        direct = self.decoding == "direct"
        if self.context is not None and not direct:
            yield "context", self.context.size, "null, since decoding is autoregressive"
        if self.local is not None and direct and self.context is None:
            yield "local", self.local.size, "null, or a context that it reads"
        if self.known and self.local is None:
            yield "local", "null", "a layer that reads the known covariates of the steps ahead"
        if self.path_correlation and not direct:
            yield "path_correlation", self.path_correlation, "0, since an autoregressive path feeds itself"

    def _ascending(self) -> bool:
        levels = self.quantiles
        inside = len(levels) >= 2 and levels[0] > 0 and levels[-1] < 1
        return inside and all(a < b for a, b in pairwise(levels))
