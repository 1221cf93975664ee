"""The command `unroll`."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, Protocol

import typer

from service import __version__
from service import settings as configuration
from service.domain.errors import ModelFolderError, SettingsError, UnrollError
from service.process.supervisor import Supervisor
from service.telemetry import logs

if TYPE_CHECKING:
    from service.tooling.inspect.questions.question import Question

log = logging.getLogger(__name__)

app = typer.Typer(
    name="unroll", help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


class StorageDtype(StrEnum):
    """Dtypes that `pack` stores weights in."""

    float32 = "float32"
    float16 = "float16"


class ComputeDtypeChoice(StrEnum):
    """Dtypes that matrix products can be computed in."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    int8 = "int8"


class WeightsChoice(StrEnum):
    """Weights of a checkpoint that has their average, too."""

    plain = "plain"
    ema = "ema"


class DeviceChoice(StrEnum):
    """Devices that networks can run on."""

    cpu = "cpu"
    cuda = "cuda"


class Report(Protocol):
    """Result that a command prints."""

    def render(self) -> str: ...
    def to_dict(self) -> dict[str, Any]: ...


Plain = Annotated[
    bool,
    typer.Option("--plain", help="Take the plain choice of all that weights do not tell and nothing states."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OnDevice = Annotated[DeviceChoice | None, typer.Option("--device", help="Where to run it; default: cpu.")]


def _print(text: str, *, err: bool = False) -> None:
    """Print a text. File names and checkpoints can hold half characters, which no stream takes."""
    typer.echo(text.encode("utf-8", "backslashreplace").decode(), err=err)


def _fail(error: Exception | str, status: int = 1) -> NoReturn:
    """Print the error and exit with `status`."""
    _print(f"unroll: {error}", err=True)
    raise typer.Exit(status)


@contextmanager
def _failing_with_one_line() -> Iterator[None]:
    """Exit with the message of any error of the block, without a traceback; Python's development mode shows it."""
    try:
        yield
    except (typer.Exit, typer.BadParameter):
        raise
    except (ModelFolderError, SettingsError, UnrollError, OSError) as error:
        _fail(error)
    except MemoryError:
        _fail("found more than the memory of this machine holds, expected less")
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        _fail(f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:500]}")


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the release and exit.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def serve(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes on the port.")] = None,
    models: Annotated[Path | None, typer.Option(help="Folder of model folders.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Where the private store keeps its data.")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Arithmetic: float32, bfloat16 or int8; also MODEL=DTYPE, several by commas.")
    ] = None,
    device: OnDevice = None,
    deterministic: Annotated[
        bool | None, typer.Option("--deterministic", help="The same answer to the last bit at any load, more slowly.")
    ] = None,
) -> None:
    """Serve the models; settings that are not given come from the environment (see README)."""
    try:
        settings = configuration.load(
            host=host,
            port=port,
            workers=workers,
            models=models,
            state_dir=state_dir,
            dtype=dtype,
            device=device,
            deterministic=deterministic,
        )
        logs.configure(settings.log_level, settings.log_format)
        for name in configuration.unknown_variables():
            log.warning("unknown setting", extra={"variable": name})
        status = Supervisor(settings).run()
    except SettingsError as error:
        _fail(error, 78)
    raise typer.Exit(status)


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="A model's name, or a version's folder.")],
    text: Annotated[str | None, typer.Argument(help="What a model of words reads.")] = None,
    *,
    models: Annotated[Path | None, typer.Option(help="Folder of model folders.")] = None,
    top_k: Annotated[int | None, typer.Option(min=1, max=100, help="How many next words; default: 5.")] = None,
    csv: Annotated[
        Path | None, typer.Option(help="What a forecaster reads: a column for each feature, perhaps `timestamp`.")
    ] = None,
    future: Annotated[Path | None, typer.Option(help="CSV of what is known in advance of the steps ahead.")] = None,
    horizon: Annotated[int | None, typer.Option(min=1, help="Steps ahead; default: as many as the model can.")] = None,
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
    with _failing_with_one_line():
        settings = configuration.load(models=models, device=device)
        prediction = prepare(
            model,
            settings.models,
            PredictionArguments(text, csv, future),
            PredictOptions(**options, given=frozenset(options)),
        )
        limits = text_limits(settings)
        if csv is not None:
            limits = replace(limits, input_tokens=max(limits.input_tokens, MAX_ROWS))
        dtype = settings.dtype_of(prediction.folder.parent.name)
        outcome = run_once(prediction.folder, prediction.operation, limits, dtype, settings.device)
    _print(json.dumps(outcome.output, ensure_ascii=False) if as_json else prediction.render(outcome.output))


@app.command()
def inspect(
    file: Annotated[
        Path, typer.Argument(help="A file of PyTorch, Keras, numpy, safetensors or ONNX (docs/import.md).")
    ],
    as_json: AsJson = False,
) -> None:
    """Tell what a checkpoint holds, and propose a config.json."""
    from service.tooling.inspect.report import inspect as inspect_file  # noqa: PLC0415 - torch takes a second to import

    _report(lambda: inspect_file(file), as_json)


@app.command()
def pack(
    source: Annotated[
        Path, typer.Argument(help="A file of PyTorch, Keras, numpy, safetensors or ONNX (docs/import.md).")
    ],
    target: Annotated[Path, typer.Argument(help="The folder to make, as MODELS/NAME/VERSION.")],
    *,
    config: Annotated[Path | None, typer.Option(help="config.json; default: what `inspect` proposes.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="FIELD=VALUE of config.json, as JSON or text; may be repeated.")
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option("--map", help="OLD=NEW renames tensors: a regular expression and its replacement; repeatable."),
    ] = None,
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
    card: Annotated[Path | None, typer.Option(help="A model card, Markdown.")] = None,
    dtype: Annotated[StorageDtype, typer.Option(help="How to store the weights.")] = StorageDtype.float32,
    plain: Plain = False,
    as_json: AsJson = False,
) -> None:
    """Make a model folder of a trained network's weights, and verify it."""
    from service.tooling.pack.packer import pack as pack_folder  # noqa: PLC0415 - likewise

    _report(
        lambda: pack_folder(
            source,
            target.parent.parent,
            target.parent.name,
            target.name,
            config=config,
            settings=dict(map(_setting, settings or [])),
            plain=plain,
            maps=maps or [],
            vocab=vocab,
            tokenizer=tokenizer,
            preprocessor=_preprocessor(preprocessor),
            golden=golden,
            card=card,
            dtype=dtype.value,
        ),
        as_json,
    )


@app.command("import")
def import_(
    files: Annotated[
        list[str],
        typer.Argument(
            help="The file of the network (docs/import.md), or several as PART=FILE; files with its vocabulary or "
            "scaling; then MODELS/NAME/VERSION."
        ),
    ],
    *,
    plain: Plain = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Ask nothing; names of outputs and features are the proposed ones.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report on the files, and write nothing.")] = False,
    config: Annotated[Path | None, typer.Option(help="config.json; default: what `inspect` proposes.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="FIELD=VALUE of config.json, as JSON or text; may be repeated.")
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option("--map", help="OLD=NEW renames tensors: a regular expression and its replacement; repeatable."),
    ] = None,
    weights: Annotated[
        WeightsChoice, typer.Option(help="Of a training that keeps the average of its weights, too: which to take.")
    ] = WeightsChoice.plain,
    vocab: Annotated[
        list[str] | None,
        typer.Option(
            help="A vocabulary of any kind that docs/import.md lists; of a translation source=FILE, target=FILE."
        ),
    ] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="A Hugging Face tokenizer.json, or a folder with two.")] = None,
    scaler: Annotated[
        list[str] | None,
        typer.Option(help="A scaler of scikit-learn, or mean and scale as JSON; that of the outputs as target=FILE."),
    ] = None,
    preprocessor: Annotated[
        str | None, typer.Option(help="A preprocessor.json; `identity` for numbers that are read as is.")
    ] = None,
    golden: Annotated[
        str | None,
        typer.Option(
            help="The trainer's own vectors, safetensors. `auto` RUNS the file's graph in its own framework to "
            "compute them: Keras with torch, TorchScript or ONNX Runtime."
        ),
    ] = None,
    card: Annotated[Path | None, typer.Option(help="A model card, Markdown.")] = None,
    dtype: Annotated[StorageDtype, typer.Option(help="How to store the weights.")] = StorageDtype.float32,
    as_json: AsJson = False,
) -> None:
    """Inspect, pack and verify the files of a trained network in one command; prints a request that tries it."""
    from service.tooling.pack.importer import import_files  # noqa: PLC0415 - likewise

    if len(files) < 2:
        raise typer.BadParameter("expected FILE MODELS/NAME/VERSION")
    _report(
        lambda: import_files(
            files[:-1],
            Path(files[-1]),
            settings=dict(map(_setting, settings or [])),
            accept=yes,
            plain=plain,
            ask=None if yes or as_json or not _is_terminal() else _ask,
            dry_run=dry_run,
            config=config,
            maps=maps or [],
            weights=weights.value,
            card=card,
            vocabularies=vocab or [],
            scalers=scaler or [],
            tokenizer=tokenizer,
            preprocessor=_preprocessor(preprocessor),
            golden=_golden(golden),
            dtype=dtype.value,
        ),
        as_json,
    )


@app.command()
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

    _report(
        lambda: verify_folder(folder, None if dtype is None else dtype.value, data, (device or DeviceChoice.cpu).value),
        as_json,
    )


def _report(make_report: Callable[[], Report], as_json: bool) -> None:
    """Print a report, or fail with the message of its error. A terminal shows the progress on long files."""
    from service.tooling.progress import shown  # noqa: PLC0415 - likewise

    with _failing_with_one_line(), shown(_bar if sys.stderr.isatty() else None):
        report = make_report()
    _print(json.dumps(report.to_dict(), ensure_ascii=False) if as_json else report.render())


@contextmanager
def _bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error."""
    with typer.progressbar(length=total, label=label, file=sys.stderr) as bar:
        yield bar.update


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _ask(question: "Question") -> object:
    """Ask for a setting; the plain choice is the default."""
    _print(f"{question.reason} ({question.options()})")
    return _value(typer.prompt(question.field, default=question.plain.word))


def _golden(option: str | None) -> Path | Literal["auto"] | None:
    """Return the file of golden vectors that an option names, or `auto`."""
    return None if option is None else "auto" if option == "auto" else Path(option)


def _preprocessor(argument: str | None) -> Path | Literal["identity"] | None:
    """Return the argument of --preprocessor. A file called `identity` can be given as ./identity."""
    if argument is None:
        return None
    return "identity" if argument == "identity" else Path(argument)


def _setting(argument: str) -> tuple[str, object]:
    """Parse FIELD=VALUE, where VALUE is JSON or text."""
    name, equals, value = argument.partition("=")
    if not equals:
        raise typer.BadParameter(f"--set {argument}: expected FIELD=VALUE")
    return name, _value(value)


def _value(text: str) -> object:
    """Parse JSON, or return the text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def main() -> None:
    """Run the command line."""
    app()
