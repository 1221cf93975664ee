"""TorchScript archives of `torch.jit.save`: their tensors, and the settings that their source text states."""

import re
from dataclasses import replace

from service.tooling.formats.archive import Archive
from service.tooling.formats.format import Format
from service.tooling.formats.network import SavedLayer, SavedNetwork
from service.tooling.formats.pytorch.zip_file import read_torch_zip
from service.tooling.formats.source import Source
from service.tooling.formats.values.assembly import assemble

MAX_CODE_BYTES = 2**20
MAX_CODE_FILES = 1000
CLASS = re.compile(r"^class (\w+)\(Module\):$", re.MULTILINE)
#: A setting that the compiler has fixed, such as `batch_first : Final[bool] = True`.
SETTING = re.compile(r"^  (\w{1,80}) : Final\[(int|float|bool|str)\] = (\S{1,80})$", re.MULTILINE)


class TorchScript(Format):
    """TorchScript archives. Their code is never run."""

    def recognizes(self, source: Source) -> bool:
        archive = source.archive
        return (
            archive is not None and archive.find("data.pkl") is not None and archive.find("constants.pkl") is not None
        )

    def read(self, source: Source) -> SavedNetwork:
        saved, storages, mentions = read_torch_zip(source)
        network = assemble(source, saved, storages, mentions, "TorchScript archive (its code is not run)")
        settings = {} if source.archive is None else _settings(source.archive)
        return replace(network, layers=tuple(_described(layer, settings) for layer in network.layers))


def _described(layer: SavedLayer, settings: dict[str, dict[str, object]]) -> SavedLayer:
    """Return a layer with the settings of its class, and with PyTorch's name of the class."""
    *_, name = layer.kind.split(".")
    is_own = layer.kind.startswith("torch.nn.modules.")
    return SavedLayer(layer.name, name if is_own else layer.kind, {**settings.get(layer.kind, {}), **layer.options})


def _settings(archive: Archive) -> dict[str, dict[str, object]]:
    """Return the fixed settings of the classes in the source text, by their full name."""
    settings: dict[str, dict[str, object]] = {}
    members = [name for name in archive.names if "/code/__torch__" in name and name.endswith(".py")]
    for member in members[:MAX_CODE_FILES]:
        text = archive.read(member, MAX_CODE_BYTES).decode("utf-8", "replace")
        module = member.partition("/code/__torch__")[2].removesuffix(".py").strip("/").replace("/", ".")
        _, *classes = CLASS.split(text)
        for name, body in zip(classes[::2], classes[1::2], strict=True):
            found = {setting: _value(kind, value) for setting, kind, value in SETTING.findall(body)}
            settings[f"{module}.{name}".strip(".")] = found
    return settings


def _value(kind: str, text: str) -> object:
    """Return a literal of the source text; one that is not of its kind stays a text."""
    try:
        if kind == "bool":
            return {"True": True, "False": False}[text]
        return {"int": int, "float": float}[kind](text)
    except (ValueError, KeyError):
        return text.strip("\"'")
