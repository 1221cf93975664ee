"""The commands between the files of a training and a model folder."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.arguments import ask, golden_of, is_terminal, preprocessor_of, settings_of
from service.cli.options import (
    AsJson,
    Card,
    Checkpoint,
    ComputeDtypeChoice,
    Config,
    DeviceChoice,
    DryRun,
    Files,
    Golden,
    Maps,
    OnDevice,
    Plain,
    Scalers,
    Settings,
    Storage,
    StorageDtype,
    Vocabularies,
    Weights,
    WeightsChoice,
    Yes,
)
from service.cli.output import print_report


def inspect(file: Checkpoint, as_json: AsJson = False) -> None:
    """Tell what a checkpoint holds, and propose a config.json."""
    from service.tooling.inspect.report import inspect as inspect_file  # noqa: PLC0415 - torch takes a second to import

    print_report(lambda: inspect_file(file), as_json)


def pack(
    source: Checkpoint,
    target: Annotated[Path, typer.Argument(help="The folder to make, as MODELS/NAME/VERSION.")],
    *,
    config: Config = None,
    settings: Settings = None,
    maps: Maps = None,
    vocab: Annotated[
        Path | None, typer.Option(help="A vocabulary, such as a word list in the order of the ids.")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="A Hugging Face tokenizer.json, or a folder with the two of a translation.")
    ] = None,
    preprocessor: Annotated[
        str | None, typer.Option(help="A forecaster's preprocessor.json; `identity` for numbers that are read as is.")
    ] = None,
    golden: Annotated[Path | None, typer.Option(help="The trainer's own vectors, safetensors.")] = None,
    card: Card = None,
    dtype: Storage = StorageDtype.float32,
    plain: Plain = False,
    as_json: AsJson = False,
) -> None:
    """Make a model folder of a trained network's weights, and verify it."""
    from service.tooling.pack.packer import pack as pack_folder  # noqa: PLC0415 - likewise

    print_report(
        lambda: pack_folder(
            source,
            target.parent.parent,
            target.parent.name,
            target.name,
            config=config,
            settings=settings_of(settings),
            plain=plain,
            maps=maps or [],
            vocab=vocab,
            tokenizer=tokenizer,
            preprocessor=preprocessor_of(preprocessor),
            golden=golden,
            card=card,
            dtype=dtype.value,
        ),
        as_json,
    )


def import_(
    files: Files,
    *,
    plain: Plain = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    config: Config = None,
    settings: Settings = None,
    maps: Maps = None,
    weights: Weights = WeightsChoice.plain,
    vocab: Vocabularies = None,
    tokenizer: Annotated[Path | None, typer.Option(help="A Hugging Face tokenizer.json, or a folder with two.")] = None,
    scaler: Scalers = None,
    preprocessor: Annotated[
        str | None, typer.Option(help="A preprocessor.json; `identity` for numbers that are read as is.")
    ] = None,
    golden: Golden = None,
    card: Card = None,
    dtype: Storage = StorageDtype.float32,
    as_json: AsJson = False,
) -> None:
    """Inspect, pack and verify the files of a trained network in one command; prints a request that tries it."""
    from service.tooling.pack.importer import import_files  # noqa: PLC0415 - likewise

    if len(files) < 2:
        raise typer.BadParameter("expected FILE MODELS/NAME/VERSION")
    print_report(
        lambda: import_files(
            files[:-1],
            Path(files[-1]),
            settings=settings_of(settings),
            accept=yes,
            plain=plain,
            ask=None if yes or as_json or not is_terminal() else ask,
            dry_run=dry_run,
            config=config,
            maps=maps or [],
            weights=weights.value,
            card=card,
            vocabularies=vocab or [],
            scalers=scaler or [],
            tokenizer=tokenizer,
            preprocessor=preprocessor_of(preprocessor),
            golden=golden_of(golden),
            dtype=dtype.value,
        ),
        as_json,
    )


def verify(
    folder: Annotated[Path, typer.Argument(help="A model folder, MODELS/NAME/VERSION.")],
    *,
    dtype: Annotated[
        ComputeDtypeChoice | None, typer.Option(help="Arithmetic to run it in; default: what its config.json says.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="What to judge it by: sentences, one a line; for translation a source, TAB and target a line; for "
            "forecasting a CSV as `predict` reads it. Tells perplexity, BLEU or mean absolute error, too."
        ),
    ] = None,
    device: OnDevice = None,
    as_json: AsJson = False,
) -> None:
    """Load a model folder as the server would, golden vectors replayed, and tell what it is."""
    from service.tooling.verify.verifier import verify as verify_folder  # noqa: PLC0415 - likewise

    print_report(
        lambda: verify_folder(folder, None if dtype is None else dtype.value, data, (device or DeviceChoice.cpu).value),
        as_json,
    )
