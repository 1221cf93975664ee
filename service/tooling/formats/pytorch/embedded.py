"""Storages within a pickle, as plain `pickle.dump` writes a tensor: each is a file of `torch.save` of its own."""

import io

from service.tooling.formats.pytorch.legacy_file import LegacyFile
from service.tooling.formats.values.tensors import Storage, storage_of
from service.tooling.pickles.budget import PickleBudget
from service.tooling.pickles.values import Instance, PickleError, Reference


def embedded_storage(content: bytes, budget: PickleBudget) -> Storage:
    """Return the storage that a file within a pickle holds. Raises PickleError."""
    file = LegacyFile(io.BytesIO(content), len(content), budget)
    saved = file.saved
    if isinstance(saved, Instance):  # a typed storage around its bytes
        saved = next((item for item in saved.attributes.values() if isinstance(item, Reference)), saved)
    described = storage_of(saved.key) if isinstance(saved, Reference) else None
    if described is None:
        raise PickleError("a tensor whose numbers are not known here")
    return file.storage(described[0])
