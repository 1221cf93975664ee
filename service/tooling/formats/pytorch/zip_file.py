"""Files of `torch.save` since PyTorch 1.6: a zip file with a pickle and the bytes of each storage."""

import torch

from service.domain.errors import ModelFolderError
from service.tooling.formats.archive import Archive
from service.tooling.formats.format import Format
from service.tooling.formats.network import SavedNetwork
from service.tooling.formats.pytorch.embedded import embedded_storage
from service.tooling.formats.source import Source
from service.tooling.formats.values.assembly import assemble
from service.tooling.formats.values.tensors import Storage, Storages
from service.tooling.pickles.budget import MAX_PICKLE_BYTES, PickleBudget
from service.tooling.pickles.reader import read_pickle
from service.tooling.pickles.values import Mentions, PickleError

PICKLE = "data.pkl"
EXPECTED = "a state dict as torch.save writes it"


class TorchZip(Format):
    """Files of `torch.save`."""

    def recognizes(self, source: Source) -> bool:
        return source.archive is not None and source.archive.find(PICKLE) is not None

    def read(self, source: Source) -> SavedNetwork:
        saved, storages, mentions = read_torch_zip(source)
        return assemble(source, saved, storages, mentions)


def read_torch_zip(source: Source) -> tuple[object, Storages, Mentions]:
    """Return the value of the pickle in a zip file, what reads its storages, and what the pickle mentions.

    Raises ModelFolderError.
    """
    archive = source.archive
    name = None if archive is None else archive.find(PICKLE)
    if archive is None or name is None:
        raise source.error("a zip file without a pickle", EXPECTED)
    archive.require_stored()
    folder, budget, mentions = name.removesuffix(PICKLE), PickleBudget(), Mentions()
    _require_little_endian(source, archive, folder)
    try:
        saved = read_pickle(archive.open(name, MAX_PICKLE_BYTES), budget, mentions)
    except PickleError as error:
        raise source.error(str(error), EXPECTED) from error
    cache: dict[str, Storage] = {}

    def storages(key: str | bytes) -> Storage:
        if isinstance(key, bytes):
            return embedded_storage(key, budget)
        if key not in cache:
            cache[key] = Storage(bytearray(archive.read(f"{folder}data/{key}")), torch.uint8)
        return cache[key]

    return saved, storages, mentions


def _require_little_endian(source: Source, archive: Archive, folder: str) -> None:
    name = f"{folder}byteorder"
    if name in archive.names and archive.read(name, 16) != b"little":
        raise ModelFolderError(
            f"{source.path}: found numbers in the byte order of another machine, expected little endian; load the file "
            "on a machine of today and save it again"
        )
