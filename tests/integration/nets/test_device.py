"""Networks on another device than the memory that their callers' tensors lie in.

Where there is no GPU, torch's fake tensors stand for one: they compute nothing, but know which device they are on and
refuse to be mixed, as a GPU's do.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from typer.testing import CliRunner

from service.cli import app
from service.domain.errors import SettingsError
from service.domain.operations import ComputeDtype
from service.model_folder.safetensors_io import read_tensor_file
from service.model_folder.safetensors_weights import assemble
from service.nets.config.loader import read_config_bytes
from service.nets.device import require_device
from service.nets.models.encoder_decoder import EncoderDecoder
from service.nets.models.forecaster import Forecaster
from service.nets.models.language_model import LanguageModel
from service.nets.network_spec import parse_config
from service.process.worker_process import EX_CONFIG
from service.tasks.architectures import ARCHITECTURES
from tests.folders import write_language_model
from tests.forecast_folders import write_forecaster
from tests.integration.nets import test_encoder_decoder, test_forecaster, test_language_model
from tests.integration.nets.case_ids import case_id
from tests.registered import read_checkpoint
from tests.translation_folders import write_encoder_decoder

Write = Callable[..., Path]
EVERY = [
    *((write_language_model, settings) for settings in test_language_model.SETTINGS),
    *((write_encoder_decoder, settings) for settings in test_encoder_decoder.SETTINGS),
    *((write_forecaster, settings) for settings in test_forecaster.SETTINGS),
]
#: The stand-in's device: of those that fake tensors know the only one that needs no build of its own.
STAND_IN = torch.device("meta")


every_network = pytest.mark.parametrize(("write", "settings"), EVERY, ids=case_id)
either_arithmetic = pytest.mark.parametrize("dtype", ["float32", "bfloat16"])


@contextmanager
def on_stand_in(folder: Path, dtype: ComputeDtype) -> Iterator[Any]:
    spec, config = parse_config(read_config_bytes(folder), str(folder), ARCHITECTURES)
    stored = read_tensor_file(folder / "model.safetensors").tensors
    with FakeTensorMode(allow_non_fake_inputs=True), torch.inference_mode():
        yield assemble(spec, config, {name: one.tensor().float() for name, one in stored.items()}, dtype, STAND_IN)


def in_memory(*results: Any) -> None:
    for one in results:
        parts = one.values() if isinstance(one, dict) else one if isinstance(one, tuple) else [one]
        assert all(part is None or part.device.type == "cpu" for part in parts), one


def run_language_model(network: LanguageModel) -> None:
    ids = torch.ones(2, 3, dtype=torch.long)
    features, state = network.step(ids[:, 0], network.initial_recurrent_state(2))
    in_memory(features, state, network.logits(features), network.score(ids[:, 0], features))
    in_memory(*network.sequence(ids, state))


def run_encoder_decoder(network: EncoderDecoder) -> None:
    ids = torch.ones(2, 3, dtype=torch.long)
    memory, state = network.encode(ids)
    features, weights, after = network.step(ids[:, 0], state, memory, [1, 1])
    in_memory(memory, state, features, weights, after, network.logits(features))
    if not network.steps_only:
        in_memory(*network.sequence(ids, state, memory))


def run_forecaster(network: Forecaster) -> None:
    config = network.config
    state = network.step(torch.ones(2, config.width), network.initial_state(2))
    features = network.features_of(network.sequence(torch.ones(2, 3, config.width), state))
    contexts = network.contexts(features, config.steps).flatten(0, 1)
    future, base = torch.ones(len(contexts), config.future_width), torch.ones(len(contexts), len(config.target))
    in_memory(state, contexts, network.parameters_of(contexts, future, base))


@either_arithmetic
@every_network
def test_every_call_computes_on_the_device_and_answers_in_memory(
    tmp_path: Path, write: Write, settings: dict[str, Any], dtype: ComputeDtype
) -> None:
    with on_stand_in(write(tmp_path, **settings), dtype) as network:
        if isinstance(network, LanguageModel):
            run_language_model(network)
        elif isinstance(network, EncoderDecoder):
            run_encoder_decoder(network)
        else:
            run_forecaster(network)


def test_the_stand_in_refuses_what_a_gpu_would(tmp_path: Path) -> None:
    with on_stand_in(write_language_model(tmp_path), "float32") as network:
        assert isinstance(network, LanguageModel)
        with pytest.raises(RuntimeError, match="same device"):
            network.output(torch.ones(2, network.config.features_size))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@either_arithmetic
@every_network
def test_a_gpu_computes_what_the_trainer_did(
    tmp_path: Path, write: Write, settings: dict[str, Any], dtype: ComputeDtype
) -> None:
    checkpoint = read_checkpoint(write(tmp_path, **settings), dtype, "cuda")
    assert checkpoint.golden is not None
    assert checkpoint.golden.difference <= checkpoint.golden.tolerance


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^device is cuda: PyTorch .* finds none, expected cpu, or a GPU"):
        require_device("cuda", None)


def test_int8_is_for_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    require_device("cuda", "bfloat16")
    with pytest.raises(SettingsError, match="dtype is int8 on the device cuda: expected float32 or bfloat16"):
        require_device("cuda", "int8")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    "command", [["verify", "{folder}"], ["predict", "tiny", "a", "--models", "{models}"]], ids=lambda one: one[0]
)
def test_commands_say_that_there_is_no_such_device(tmp_path: Path, command: list[str]) -> None:
    folder = write_language_model(tmp_path, name="tiny")
    given = [part.format(folder=folder, models=tmp_path) for part in command]
    found = CliRunner().invoke(app, [*given, "--device", "cuda"])
    assert found.exit_code == 1
    assert found.stderr.startswith("unroll: device is cuda: PyTorch")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_service_for_a_device_that_is_not_there_ends_at_once(tmp_path: Path) -> None:
    write_language_model(tmp_path, name="tiny")
    places = ["--models", tmp_path, "--state-dir", tmp_path / "state", "--port", "0"]
    command = [sys.executable, "-m", "service.cli", "serve", "--device", "cuda", *places]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == EX_CONFIG
    assert "device is cuda: PyTorch" in found.stderr
