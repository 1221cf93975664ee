"""Files of `pickle.dump`: modules, state dicts, and dictionaries of numpy arrays."""

from service.tooling.formats.format import Format
from service.tooling.formats.network import SavedNetwork
from service.tooling.formats.pytorch.embedded import embedded_storage
from service.tooling.formats.source import Source
from service.tooling.formats.values.arrays import objects_of
from service.tooling.formats.values.assembly import assemble
from service.tooling.formats.values.estimators import FROM_JOBLIB, classes_in, describe_estimator
from service.tooling.formats.values.tensors import Storage
from service.tooling.pickles.budget import MAX_PICKLE_BYTES, PickleBudget
from service.tooling.pickles.reader import read_pickle
from service.tooling.pickles.values import Mentions, PickleError

EXPECTED = "a pickle of names with tensors or arrays"
PROTO = b"\x80"
#: How pickles of protocol 0 and 1 start: a mark, an empty container, or a name.
OLD_STARTS = (b"(", b"]", b"}", b"c")


class PlainPickle(Format):
    """Files of `pickle.dump`, whose weights stand within the pickle."""

    def recognizes(self, source: Source) -> bool:
        if source.head[:1] == PROTO and source.head[1:2] <= b"\x05":
            return True
        if not source.head.startswith(OLD_STARTS):
            return False
        try:
            read_pickle(source.rewound(), PickleBudget(source.size))
        except PickleError:
            return False
        return True

    def read(self, source: Source) -> SavedNetwork:
        # The weights are a part of the pickle.
        budget, mentions = PickleBudget(MAX_PICKLE_BYTES + source.size), Mentions()
        try:
            saved = read_pickle(source.rewound(), budget, mentions)
        except PickleError as error:
            raise source.error(*_described(source, mentions, str(error))) from error

        def storages(key: str | bytes) -> Storage:
            if isinstance(key, bytes):
                return embedded_storage(key, budget)
            raise PickleError("a tensor whose numbers stand outside of the file")

        objects = objects_of(saved)
        return assemble(source, objects[0] if objects and len(objects) == 1 else saved, storages, mentions)


def _described(source: Source, mentions: Mentions, problem: str) -> tuple[str, str]:
    """Return what a pickle that cannot be read is, and what is expected: joblib puts arrays into one."""
    if not any(name.startswith("joblib.") for name in mentions.globals):
        return problem, EXPECTED
    content = source.rewound().read(MAX_PICKLE_BYTES)
    return describe_estimator(classes_in(content)) or ("a file of joblib.dump", FROM_JOBLIB)
