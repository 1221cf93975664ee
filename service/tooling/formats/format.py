"""Base class of the readers of file formats."""

from abc import ABC, abstractmethod

from service.tooling.formats.network import SavedNetwork
from service.tooling.formats.source import Source


class Format(ABC):
    """A file format that networks are read from. It is recognised by content, never by the name of the file."""

    @abstractmethod
    def recognizes(self, source: Source) -> bool:
        """Return whether the file has this format. Reads no more than the start of it and the names of members."""

    @abstractmethod
    def read(self, source: Source) -> SavedNetwork:
        """Return the network of the file. Raises ModelFolderError."""
