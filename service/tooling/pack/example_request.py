"""An input that a model folder reads, and a command that tries it on a server of this machine."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from service.nets.config.loader import build_config
from service.nets.network_spec import find_spec
from service.tasks.architecture_spec import AnyArchitecture
from service.tooling.architecture_tools import tools_of
from service.tooling.pack.configuration.proposer import read_fields


def example_input(folder: Path, architectures: Sequence[AnyArchitecture]) -> dict[str, Any]:
    """Return an `input` that the model of a valid folder reads. Raises ModelFolderError."""
    place = folder / "config.json"
    raw = read_fields(place)
    spec = find_spec(raw, str(place), architectures)
    return tools_of(spec).example(folder, build_config(spec.config_class, raw, str(place)))


def example_request(folder: Path, architectures: Sequence[AnyArchitecture]) -> str:
    """Return a command that asks for a prediction of the folder MODELS/NAME/VERSION. Raises ModelFolderError."""
    body = shlex.quote(json.dumps({"input": example_input(folder, architectures)}))
    return f"curl -s localhost:8000/v1/models/{folder.parent.name}/predict --json {body}"
