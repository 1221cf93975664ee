"""Encoder-decoders against the one of tests/translation_trainer.py, which is made of torch.nn."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from service.domain.errors import ModelFolderError
from service.nets.layers.attention import gather
from service.nets.models.encoder_decoder import EncoderDecoder
from tests.registered import read_checkpoint
from tests.rounding import assert_rounded, bound, largest_golden
from tests.translation_folders import write_encoder_decoder

LINEAR: dict[str, Any] = {"bridge": "linear"}
#: Attention in front of the decoder, which reads the embedding and a context.
FRONT: dict[str, Any] = {"attention_place": "front", "decoder": {"input_size": 22}}
#: A layer with relu between both and the decoder, as in PyTorch's older tutorial.
RECTIFIED: dict[str, Any] = {"input_size": 8, "input_layers": [{"size": 8, "activation": "relu"}]}
SETTINGS: list[dict[str, Any]] = [
    {},
    *({"attention": kind} for kind in (None, "dot", "additive")),
    *({"attention": kind, "decoder": {"input_feed": True}} for kind in ("dot", "general", "additive")),
    *({"encoder": {"cell": cell}} for cell in ("rnn_tanh", "rnn_relu", "gru")),
    {"encoder": {"cell": "lstm"}, "decoder": {"cell": "gru"}},
    {"encoder": {"bidirectional": False}},
    {"decoder": {"num_layers": 2}},
    {"decoder": {"tie_weights": True}},
    {"combine": None},
    {"combine": None, "attention": None},
    {"combine": None, "decoder": {"input_feed": True}},
    {**LINEAR},
    {**LINEAR, "encoder": {"cell": "gru"}, "decoder": {"cell": "lstm", "num_layers": 3, "hidden_size": 5}},
    {**LINEAR, "encoder": {"cell": "lstm"}, "decoder": {"cell": "rnn_tanh", "hidden_size": 9}},
    {**LINEAR, "encoder": {"proj_size": 3, "bias": False}, "decoder": {"proj_size": 4, "num_layers": 2}},
    *({**FRONT, "attention": kind} for kind in ("dot", "general", "additive")),
    {**FRONT, "attention": "additive", "decoder": {"input_size": 22, "num_layers": 2}},
    {**FRONT, "attention": "additive", "readout": ["output", "context", "embedding"], "combine": None},
    {**FRONT, "attention": "fixed", "attention_length": 9, "decoder": RECTIFIED},
    {"attention": None, "combine": None, "decoder": {"input_size": 10, "input_layers": [{"activation": "relu"}]}},
    {"readout": ["output", "context"]},
    {**LINEAR, "bridge_activation": "tanh"},
]
#: The longest sum of products: embedding, what is fed back, hidden state and two biases of the widest decoder.
TERMS = 10 + 24 + 12 + 2
#: Up to three layers, attention and its keys, what combines, and the output.
STEP = 3 + 4
#: Two layers of an encoder for each of five tokens, and a bridge; the seven steps of a decoder.
PASSES = 2 * 5 + 1 + 7 * STEP


def load(root: Path, **settings: Any) -> EncoderDecoder:
    return read_checkpoint(write_encoder_decoder(root, **settings)).network


@pytest.mark.parametrize("settings", SETTINGS, ids=json.dumps)
def test_computes_what_torch_computes(tmp_path: Path, settings: dict[str, Any]) -> None:
    checkpoint = read_checkpoint(write_encoder_decoder(tmp_path, **settings))
    assert checkpoint.golden is not None
    assert checkpoint.golden.difference <= bound(largest_golden(checkpoint.path), TERMS, PASSES)


@pytest.mark.parametrize("settings", [*SETTINGS[:7], *SETTINGS[-9:-3]], ids=json.dumps)
@torch.inference_mode()
def test_rows_do_not_depend_on_other_rows_nor_on_longer_sources(tmp_path: Path, settings: dict[str, Any]) -> None:
    network = load(tmp_path, **settings)
    sources = [torch.tensor([[5, 9, 2]]), torch.tensor([list(range(40))]), torch.tensor([[7, 2]])]
    read = [network.encode(source) for source in sources]
    memory, owner = gather([one for one, _ in read]), [0, 0, 1, 2, 2, 2]
    state = {name: torch.cat([read[at][1][name] for at in owner]) for name in read[0][1]}
    ids = torch.tensor([1, 4, 1, 6, 3, 1])
    together = network.step(ids, state, memory, [2, 1, 3])
    for row, source in enumerate(owner):
        own = {name: one[row : row + 1] for name, one in state.items()}
        alone = network.step(ids[row : row + 1], own, read[source][0], [1])
        assert_rounded(together.features[row], alone.features[0], TERMS, STEP)
        if alone.weights is not None and together.weights is not None:
            count = alone.weights.shape[1]
            assert_rounded(together.weights[row, :count], alone.weights[0], TERMS, STEP)
            assert not together.weights[row, count:].any()
        for name, one in alone.state.items():
            assert_rounded(together.state[name][row], one[0], TERMS, STEP, name)


@torch.inference_mode()
def test_what_stands_in_the_padding_is_never_read(tmp_path: Path) -> None:
    network = load(tmp_path)
    short, first = network.encode(torch.tensor([[5, 9, 2]]))
    memory = gather([short, network.encode(torch.tensor([[1] * 9]))[0]])
    memory.values[0, 3:] = memory.keys[0, 3:] = 1e9
    alone = network.step(torch.tensor([1]), first, short, [1])
    padded = network.step(torch.tensor([1]), first, memory, [1, 0])
    assert_rounded(padded.features, alone.features, TERMS, STEP)


def test_input_feeding_is_part_of_the_state_and_forbids_whole_sequences(tmp_path: Path) -> None:
    network = load(tmp_path, decoder={"input_feed": True})
    assert [spec.name for spec in network.specs] == ["h_l0", "c_l0", "attentional"]
    memory, state = network.encode(torch.tensor([[4, 2]]))
    with pytest.raises(ValueError, match="step by step only"):
        network.sequence(torch.tensor([[1]]), state, memory)


@torch.inference_mode()
def test_state_and_logits_are_float32_whatever_the_arithmetic(tmp_path: Path) -> None:
    network = load(tmp_path, dtype="bfloat16", golden=False, decoder={"input_feed": True})
    memory, state = network.encode(torch.tensor([[4, 2]]))
    decoded = network.step(torch.tensor([1]), state, memory, [1])
    found = [decoded.features, decoded.state["h_l0"], memory.values, network.logits(decoded.features)]
    assert {one.dtype for one in found} == {torch.float32}


@pytest.mark.parametrize("name", ["outputs.logits", "outputs.attention", "outputs.memory", "state.initial_h_l0"])
def test_another_forward_pass_than_the_trainers_is_refused(tmp_path: Path, name: str) -> None:
    path = write_encoder_decoder(tmp_path) / "golden.safetensors"
    vectors = load_file(path)
    vectors[name] = vectors[name] + 0.0125
    save_file(vectors, path)
    with pytest.raises(ModelFolderError, match=f"{name}: found a difference of 0.012"):
        read_checkpoint(path.parent)


def test_the_state_may_be_stacked_and_what_the_trainer_does_not_have_left_out(tmp_path: Path) -> None:
    path = write_encoder_decoder(tmp_path, decoder={"num_layers": 2}) / "golden.safetensors"
    vectors = load_file(path)
    stacked = {f"state.{k}": torch.stack([vectors.pop(f"state.{k}_l{layer}") for layer in (0, 1)]) for k in "hc"}
    kept = {name: one for name, one in vectors.items() if name.startswith("inputs") or name == "outputs.logits"}
    save_file({**kept, **stacked}, path)
    assert read_checkpoint(path.parent).verified


def test_the_vocabularies_belong_to_the_fingerprint(tmp_path: Path) -> None:
    folder = write_encoder_decoder(tmp_path)
    before = read_checkpoint(folder).fingerprint
    with (folder / "target_tokenizer.json").open("a") as file:
        file.write("\n")
    assert read_checkpoint(folder).fingerprint != before
