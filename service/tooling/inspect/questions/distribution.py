"""Questions about the distributions of forecasts."""

from service.nets.config.forecaster_config import ScaleConfig
from service.tooling.inspect.questions.question import FollowUp, Question, choices_of

#: What most people train, the first: softplus, and nothing added.
SCALES: dict[str, object] = {
    "softplus": {"activation": "softplus", "minimum": 0.0},
    "exp": {"activation": "exp", "minimum": 0.0},
    "exp_half": {"activation": "exp_half", "minimum": 0.0},
}
_OF_A_LAYER = "how a scale follows from its layer: softplus, exp, or exp of half of it (the logarithm of a variance)"
#: For outputs of one layer that are stated to be parameters. The plain choice is a config.json without `scale`.
SCALE = FollowUp(
    "distribution",
    ("gaussian", "student_t"),
    Question(
        "scale",
        "how a scale follows from its output: default (softplus, plus 0.0001), softplus, exp, or exp of half of it "
        "(the logarithm of a variance)",
        choices_of(words={"default": ScaleConfig().model_dump(), **SCALES}),
    ),
)


def ask_scale(distribution: str, *, heads: bool) -> list[Question]:
    """Return the question about the scale of a proposed distribution, which may have a layer of its own."""
    if heads:
        return [Question("scale", _OF_A_LAYER, choices_of(words=SCALES))]
    return [SCALE.question] if distribution in SCALE.values else []
