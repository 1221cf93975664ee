"""The command that predicts without a server."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from service import settings as configuration
from service.cli.options import AsJson, Models, OnDevice
from service.cli.output import failing_with_one_line, print_text


def predict(
    model: Annotated[str, typer.Argument(help="A model's name, or a version's folder.")],
    text: Annotated[str | None, typer.Argument(help="What a model of words reads.")] = None,
    *,
    models: Models = None,
    top_k: Annotated[int | None, typer.Option(min=1, max=100, help="How many next words; default: 5.")] = None,
    csv: Annotated[
        Path | None, typer.Option(help="What a forecaster reads: a column for each feature, perhaps `timestamp`.")
    ] = None,
    future: Annotated[Path | None, typer.Option(help="CSV of what is known in advance of the steps ahead.")] = None,
    horizon: Annotated[int | None, typer.Option(min=1, help="Steps ahead; default: as many as the model can.")] = None,
    vector: Annotated[
        str | None,
        typer.Option(help="What sequences begin with, if the model reads it: a JSON list, or @FILE with one."),
    ] = None,
    device: OnDevice = None,
    as_json: AsJson = False,
) -> None:
    """Predict the next words of a text, translate it, or forecast a series, without a server."""
    from service.bootstrap.models import run_once, text_limits  # noqa: PLC0415 - torch takes a second that `serve` need not wait
    from service.domain.operations import PredictOptions  # noqa: PLC0415
    from service.tasks.limits import MAX_ROWS  # noqa: PLC0415 - likewise
    from service.tooling.predict.arguments import PredictionArguments  # noqa: PLC0415 - likewise
    from service.tooling.predict.offline_prediction import prepare  # noqa: PLC0415 - likewise

    values: dict[str, Any] = {"top_k": top_k, "horizon": horizon}
    options = {name: value for name, value in values.items() if value is not None}
    with failing_with_one_line():
        settings = configuration.load(models=models, device=device)
        prediction = prepare(
            model,
            settings.models,
            PredictionArguments(text, csv, future, vector),
            PredictOptions(**options, given=frozenset(options)),
        )
        limits = text_limits(settings)
        if csv is not None:
            limits = replace(limits, input_tokens=max(limits.input_tokens, MAX_ROWS))
        dtype = settings.dtype_of(prediction.folder.parent.name)
        outcome = run_once(prediction.folder, prediction.operation, limits, dtype, settings.device)
    print_text(json.dumps(outcome.output, ensure_ascii=False) if as_json else prediction.render(outcome.output))
