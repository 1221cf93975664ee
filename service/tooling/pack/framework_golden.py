"""Packing with golden vectors that the framework of the file computes."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.tooling.formats.network import SavedNetwork
from service.tooling.frameworks.vectors import framework_of, write_vectors
from service.tooling.pack.packer import Packed, pack

#: The value of `--golden` that has the framework of the file compute the vectors.
AUTO = "auto"


def pack_with_framework(source: Path, target: Path, saved: SavedNetwork | None, options: Mapping[str, Any]) -> Packed:
    """Write and verify the folder `target` with golden vectors by the framework of `source`, which runs its graph.

    A first folder in a temporary place, with plain choices, states how inputs are read. A graph is run one timestep at
    a time, as that folder says the timesteps follow each other, so these vectors cannot show it: its questions are the
    user's. `options` are those of `pack`. Raises ModelFolderError.
    """
    framework = framework_of(source, saved)
    with tempfile.TemporaryDirectory(prefix="unroll-") as scratch:
        plain = {**options, "golden": None, "plain": framework != "onnxruntime" or options.get("plain", False)}
        first = pack(source, Path(scratch), target.parent.name, target.name, **plain)
        golden = write_vectors(first.path, source, framework)
        models, name, version = target.parent.parent, target.parent.name, target.name
        return pack(source, models, name, version, **{**options, "golden": golden})
