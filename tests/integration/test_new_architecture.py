"""One specification adds an architecture: the service and all tools handle it, and no module of theirs knows it."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from torch import Tensor

from service.bootstrap.worker import Overrides, running_worker
from service.domain.errors import ModelFolderError
from service.domain.operations import PredictOptions
from service.engine.loaded_models import load_version
from service.engine.runner import run_operation
from service.model_folder.safetensors_io import read_tensor_file, write_tensor_file
from service.settings import Settings
from service.store import EmbeddedServer
from service.tasks.architectures import ARCHITECTURES, load_task
from service.tasks.limits import TextLimits
from service.tooling.inspect.report import inspect
from service.tooling.pack.packer import Packed, pack
from service.tooling.predict.arguments import PredictionArguments
from service.tooling.predict.offline_prediction import prepare
from service.tooling.verify.verifier import verify
from tests.byte_classifier import BYTE_CLASSIFIER, LABELS, Trainer, write_training
from tests.folders import write_language_model
from tests.server import short_folder

#: Before the others, since a language model begins with an embedding too.
ALL = (BYTE_CLASSIFIER, *ARCHITECTURES)
MOODS = ["glad", "sad", "cross"]


class Moods:
    """A folder of models with one of the new architecture, what it was packed from, and its trainer."""

    def __init__(self, root: Path) -> None:
        self.root, self.models = root, root / "models"
        self.trainer: Trainer = write_training(root, MOODS)
        self.packed = self.pack("mood")
        self.folder = self.packed.path
        write_language_model(self.models)

    def pack(self, name: str, **settings: object) -> Packed:
        return pack(
            self.root / "checkpoint.pt",
            self.models,
            name,
            "1",
            settings=settings,
            tokenizer=self.root / LABELS,
            golden=self.root / "golden.safetensors",
            architectures=ALL,
        )

    def probabilities(self, text: str) -> dict[str, float]:
        with torch.no_grad():
            logits: Tensor = self.trainer(torch.tensor([[*text.encode()]]))[0]
        return {label: round(value, 4) for label, value in zip(MOODS, logits.softmax(-1).tolist(), strict=True)}


@pytest.fixture(scope="module")
def moods() -> Iterator[Moods]:
    with short_folder() as root:
        yield Moods(root)


def serve(moods: Moods, requests: list[tuple[str, dict[str, Any] | None]]) -> list[dict[str, Any]]:
    """Send requests to a worker with the new architecture; `{id}` in a path is the session of the response before.

    What has no body is read, and may be refused.
    """

    async def send(url: str) -> list[dict[str, Any]]:
        settings, responses = Settings(redis_url=url, models=moods.models), list[dict[str, Any]]()
        async with running_worker(settings, Overrides(architectures=ALL)) as worker:
            transport = httpx.ASGITransport(app=worker.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
                session = ""
                for path, body in requests:
                    target = path.format(id=session)
                    response = await (client.get(target) if body is None else client.post(target, json=body))
                    assert response.is_success or body is None, response.text
                    responses.append(response.json())
                    session = responses[-1].get("id", session)
        return responses

    store = EmbeddedServer(moods.root / "state")
    store.start()
    try:
        return asyncio.run(send(store.url))
    finally:
        store.stop()


def test_inspect_proposes_its_configuration(moods: Moods) -> None:
    report = inspect(moods.root / "checkpoint.pt", ALL)
    assert report.looks_like == "a classifier of bytes"
    assert report.proposal is not None
    assert report.proposal.config["classes"] == 3
    assert report.proposal.command(report.path).endswith("--tokenizer LABELS")


def test_a_network_of_no_given_architecture_gets_no_proposal(moods: Moods) -> None:
    source = moods.root / "one.safetensors"
    tensors = torch.load(moods.root / "checkpoint.pt")
    write_tensor_file(source, {name: tensor for name, tensor in tensors.items() if "lookup" not in name})
    report = inspect(source, (BYTE_CLASSIFIER,))
    assert report.looks_like.startswith("a network of another architecture, so no config.json is proposed")
    assert report.proposal is None


def test_pack_writes_a_folder_that_reproduces_its_golden_vectors(moods: Moods) -> None:
    assert {path.name for path in moods.folder.iterdir()} == {
        *("config.json", "model.safetensors", "golden.safetensors", LABELS)
    }
    assert moods.packed.verification.verified
    assert moods.packed.verification.architecture == "byte-classifier"


def test_pack_asks_its_tools_to_explain_a_shape(moods: Moods) -> None:
    with pytest.raises(ModelFolderError, match=r"output.weight: found shape \[3, 8\].* sizes: 4 classes"):
        moods.pack("other", classes=4)


def test_its_configuration_reports_its_own_violations(moods: Moods) -> None:
    with pytest.raises(ModelFolderError, match="classes: found 1, expected at least two classes"):
        moods.pack("other", classes=1)


def test_its_golden_vectors_are_replayed_at_load(moods: Moods, tmp_path: Path) -> None:
    folder = tmp_path / "mood" / "1"
    folder.mkdir(parents=True)
    for path in moods.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    golden = folder / "golden.safetensors"
    tensors = {name: stored.tensor() for name, stored in read_tensor_file(golden).tensors.items()}
    write_tensor_file(golden, {**tensors, "outputs.logits": tensors["outputs.logits"] + 1})
    with pytest.raises(ModelFolderError, match=r"outputs\.logits: found a difference of 1"):
        load_task(folder, TextLimits(), architectures=ALL)


def test_its_companion_files_belong_to_the_fingerprint(moods: Moods, tmp_path: Path) -> None:
    before = load_version(moods.folder, TextLimits(), architectures=ALL).version.fingerprint
    folder = tmp_path / "mood" / "1"
    folder.mkdir(parents=True)
    for path in moods.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / LABELS).write_text(json.dumps(["merry", *MOODS[1:]]), "utf-8")
    assert load_version(folder, TextLimits(), architectures=ALL).version.fingerprint != before


def test_its_folder_is_refused_where_it_is_not_given(moods: Moods) -> None:
    with pytest.raises(
        ModelFolderError, match="architecture: found \"byte-classifier\", expected one of 'sequence-encoder', 'onnx'"
    ):
        load_task(moods.folder, TextLimits())


def test_verify_measures_its_metric(moods: Moods, tmp_path: Path) -> None:
    best = max(moods.probabilities("what a day"), key=moods.probabilities("what a day").__getitem__)
    others = [mood for mood in MOODS if mood != best]
    data = tmp_path / "moods.tsv"
    data.write_text("".join(f"{mood}\twhat a day\n" for mood in (best, best, *others)), "utf-8")
    quality = verify(moods.folder, "bfloat16", data, architectures=ALL).quality
    assert quality is not None
    assert (quality.name, quality.own) == ("accuracy", 0.5)


def test_predict_reads_and_renders_as_its_tools_do(moods: Moods) -> None:
    arguments = PredictionArguments(text="what a day")
    prediction = prepare("mood", moods.models, arguments, PredictOptions(), ALL)
    task = load_version(prediction.folder, TextLimits(), architectures=ALL).task
    output = run_operation(task, prediction.operation, task.initial_state).output
    expected = moods.probabilities("what a day")
    assert prediction.render(output) == ", ".join(f"{label} {value}" for label, value in expected.items())


def test_the_service_steps_its_sessions_beside_those_of_other_architectures(moods: Moods) -> None:
    step = "/v1/sessions/{id}/steps"
    _, first, second, _, other = serve(
        moods,
        [
            ("/v1/sessions", {"model": "mood"}),
            (step, {"input": {"text": "what"}}),
            (step, {"input": {"text": " a day"}}),
            ("/v1/sessions", {"model": "tiny"}),
            (step, {"input": {"text": "the house"}}),
        ],
    )
    assert first["output"]["labels"] == pytest.approx(moods.probabilities("what"), abs=1e-4)
    assert second["output"]["labels"] == pytest.approx(moods.probabilities("what a day"), abs=1e-4)
    assert other["output"]["predictions"]


def test_the_service_predicts_with_it_without_a_session(moods: Moods) -> None:
    inputs = [{"text": "what a day"}, {"text": "what"}]
    (answer,) = serve(moods, [("/v1/models/mood/predict", {"inputs": inputs})])
    for output, text in zip(answer["outputs"], ("what a day", "what"), strict=True):
        assert output["labels"] == pytest.approx(moods.probabilities(text), abs=1e-4)


def test_its_layers_are_told_and_that_it_has_no_card(moods: Moods) -> None:
    network, card = serve(moods, [("/v1/models/mood/network", None), ("/v1/models/mood/card", None)])
    assert [layer["kind"] for part in network["parts"] for layer in part["layers"]] == [
        "embedding",
        "recurrent",
        "output",
    ]
    assert card["error"]["code"] == "not_found"
    assert "version 1 of mood has no model card" in card["error"]["message"]
