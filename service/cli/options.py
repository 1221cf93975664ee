"""Options of several commands, and those of `pack` and `import`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


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


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OnDevice = Annotated[DeviceChoice | None, typer.Option("--device", help="Where to run it; default: cpu.")]
Models = Annotated[Path | None, typer.Option(help="Folder of model folders.")]

Checkpoint = Annotated[
    Path, typer.Argument(help="A file of PyTorch, Keras, numpy, safetensors or ONNX (docs/import.md).")
]
Plain = Annotated[
    bool,
    typer.Option("--plain", help="Take the plain choice of all that weights do not tell and nothing states."),
]
Config = Annotated[Path | None, typer.Option(help="config.json; default: what `inspect` proposes.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="FIELD=VALUE of config.json, as JSON or text; may be repeated.")
]
Maps = Annotated[
    list[str] | None,
    typer.Option("--map", help="OLD=NEW renames tensors: a regular expression and its replacement; repeatable."),
]
Card = Annotated[Path | None, typer.Option(help="A model card, Markdown.")]
Storage = Annotated[StorageDtype, typer.Option(help="How to store the weights.")]

# Those of `import` alone.
Files = Annotated[
    list[str],
    typer.Argument(
        help="The file of the network (docs/import.md), or several as PART=FILE; files with its vocabulary or "
        "scaling; then MODELS/NAME/VERSION."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Ask nothing; names of outputs and features are the proposed ones.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Report on the files, and write nothing.")]
Weights = Annotated[
    WeightsChoice, typer.Option(help="Of a training that keeps the average of its weights, too: which to take.")
]
Vocabularies = Annotated[
    list[str] | None,
    typer.Option(help="A vocabulary of any kind that docs/import.md lists; of a translation source=FILE, target=FILE."),
]
Scalers = Annotated[
    list[str] | None,
    typer.Option(help="A scaler of scikit-learn, or mean and scale as JSON; that of the outputs as target=FILE."),
]
Golden = Annotated[
    str | None,
    typer.Option(
        help="The trainer's own vectors, safetensors. `auto` RUNS the file's graph in its own framework to "
        "compute them: Keras with torch, TorchScript or ONNX Runtime."
    ),
]
