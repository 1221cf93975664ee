"""Tensors of any names and shapes: `inspect` reports on them or refuses them."""

import json
from pathlib import Path

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain.errors import ModelFolderError
from service.model_folder.safetensors_io import write_tensor_file
from service.tooling.inspect.report import inspect

PREFIXES = [
    "",
    "rnn.",
    "lstm.",
    "encoder.",
    "decoder.",
    "encoder.rnn.",
    "decoder.layers.0.",
    "decoder.layers.1.",
    "a.b.",
]
LOCALS = [
    "weight_ih_l0",
    "weight_hh_l0",
    "bias_ih_l0",
    "bias_hh_l0",
    "weight_hr_l0",
    "weight_ih_l1",
    "weight_hh_l1",
    "weight_ih_l0_reverse",
    "weight_hh_l0_reverse",
    "weight_ih",
    "weight_hh",
    "weight_ih_l99999999999999999999",
    "embedding.weight",
    "emb.weight",
    "output.weight",
    "output.bias",
    "fc.0.weight",
    "fc.2.weight",
    "attention.weight",
    "attn.v.weight",
    "bridge.h_l0.weight",
    "layer_norm.weight",
    "9999999999999999999999.weight",
    "\u0663.weight",
]
names = st.builds("".join, st.tuples(st.sampled_from(PREFIXES), st.sampled_from(LOCALS))) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12
).filter(lambda name: name != "__metadata__")
sizes = st.sampled_from([0, 1, 2, 3, 4, 6, 8, 12, 16])
shapes = st.lists(sizes, min_size=1, max_size=3) | st.tuples(sizes, sizes).map(list) | st.just([])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tensors=st.dictionaries(names, shapes, max_size=10))
def test_any_tensors_are_reported_on_or_refused(tmp_path: Path, tensors: dict[str, list[int]]) -> None:
    path = tmp_path / "weights.safetensors"
    write_tensor_file(path, {name: torch.zeros(shape) for name, shape in tensors.items()})
    try:
        report = inspect(path)
    except ModelFolderError as error:
        assert str(path) in str(error)  # noqa: PT017 nearly all are reported on
        return
    json.dumps(report.to_dict())
    assert report.render()
