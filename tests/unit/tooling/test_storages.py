"""Persistent ids of storages in the files of PyTorch."""

import pytest

from service.tooling.formats.values.tensors import storage_of


@pytest.mark.parametrize(
    "key", [({"a": 1}, "torch.FloatStorage", "0", "cpu", 4), (["storage"], 1, 2, 3, 4), "0", ()], ids=str
)
def test_other_values_refer_to_no_storage(key: object) -> None:
    assert storage_of(key) is None
