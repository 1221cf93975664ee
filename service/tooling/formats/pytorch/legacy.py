"""The format of files of `torch.save` before PyTorch 1.6."""

from service.tooling.formats.format import Format
from service.tooling.formats.network import SavedNetwork
from service.tooling.formats.pytorch.embedded import embedded_storage
from service.tooling.formats.pytorch.legacy_file import LegacyFile, is_legacy
from service.tooling.formats.pytorch.zip_file import EXPECTED
from service.tooling.formats.source import Source
from service.tooling.formats.values.assembly import assemble
from service.tooling.formats.values.tensors import Storage
from service.tooling.pickles.budget import PickleBudget
from service.tooling.pickles.values import PickleError


class TorchLegacy(Format):
    """Files of `torch.save` before PyTorch 1.6."""

    def recognizes(self, source: Source) -> bool:
        return is_legacy(source.head)

    def read(self, source: Source) -> SavedNetwork:
        budget = PickleBudget()
        try:
            content = LegacyFile(source.rewound(), source.size, budget)
        except PickleError as error:
            raise source.error(str(error), EXPECTED) from error

        def storages(key: str | bytes) -> Storage:
            return embedded_storage(key, budget) if isinstance(key, bytes) else content.storage(key)

        return assemble(source, content.saved, storages, content.mentions)
