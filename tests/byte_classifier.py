"""An architecture of the tests: it reads a text byte by byte and answers the probability of each of its labels.

Nothing of it is registered. The specification BYTE_CLASSIFIER is all that the service and the tools are given.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from service.domain.cost import Cost
from service.domain.errors import InvalidRequest, ModelFolderError
from service.domain.operations import Operation, Outcome, Predict, TextInput
from service.model_folder.golden.comparison import Replay, Tolerance, check_names, check_shapes, compare
from service.model_folder.safetensors_io import write_tensor_file
from service.nets.config.architecture_config import ArchitectureConfig
from service.nets.config.rnn_spec import StateSpec
from service.nets.config.sections import RnnConfig, Violation
from service.nets.descriptions.layers import Chain, Layer, NetworkDescription, Part, embedding
from service.nets.layers.dense import EmbeddingTable, Linear
from service.nets.layers.rnn_stack import RnnStack, State
from service.tasks.architecture_spec import ArchitectureSpec
from service.tasks.base import AnyTask
from service.tasks.inputs import require_text
from service.tasks.limits import TextLimits
from service.tasks.state_layout import StateLayout
from service.tooling.architecture_tools import ArchitectureTools
from service.tooling.inspect.inventory import Inventory, Proposal, complete_config, stack_fields, stack_names
from service.tooling.offline_runner import LocatedOperation, run_all
from service.tooling.pack.companion_files import CompanionFiles
from service.tooling.predict.arguments import PredictionArguments

LABELS = "labels.json"


class ByteClassifierConfig(ArchitectureConfig, RnnConfig):
    task: Literal["classification"]
    architecture: Literal["byte-classifier"]
    classes: int

    @property
    def companion_files(self) -> tuple[str, ...]:
        return (LABELS,)

    @property
    def session_layers(self) -> RnnConfig:
        return self

    def session_state(self) -> list[StateSpec]:
        return self.rnn_spec().state()

    def violations(self) -> Iterator[Violation]:
        if self.classes < 2:
            yield "classes", self.classes, "at least two classes"


class ByteClassifier(nn.Module):
    def __init__(self, config: ByteClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = EmbeddingTable(256, config.input_size)
        self.rnn = RnnStack(config.rnn_spec())
        self.output = Linear(config.rnn_spec().output_size(), config.classes)

    def step(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        features, after = self.rnn.step(F.embedding(ids, self.embedding.weight), state)
        return self.output(features), after

    def sequence(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        features, after = self.rnn.sequence(F.embedding(ids, self.embedding.weight), state)
        return self.output(features[:, -1]), after


def read_labels(folder: Path, config: ByteClassifierConfig) -> list[str]:
    path = folder / LABELS
    labels: list[str] = json.loads(path.read_bytes())
    if len(labels) != config.classes:
        raise ModelFolderError(f"{path}: found {len(labels)} labels, expected {config.classes}")
    return labels


def replay(
    path: Path, tensors: dict[str, Tensor], network: ByteClassifier, _: list[str], tolerance: Tolerance
) -> Replay:
    check_names(path, {*tensors}, {"inputs.ids", "outputs.logits"})
    ids = tensors["inputs.ids"]
    expected = check_shapes(path, tensors, {"outputs.logits": (len(ids), network.config.classes)})
    state = network.rnn.initial_state(len(ids))
    whole, _state = network.sequence(ids, state)
    for column in ids.unbind(1):
        stepped, state = network.step(column, state)
    modes = {"step by step": {"outputs.logits": stepped}, "as a sequence": {"outputs.logits": whole}}
    return compare(path, expected, modes, tolerance, ids.numel())


def describe(config: ByteClassifierConfig) -> NetworkDescription:
    chain = Chain(0)
    chain.add(embedding(config.input_size, 256, one_hot=False))
    chain.recurrent(config.rnn_spec())
    chain.add(Layer(kind="output", inputs=chain.width, outputs=config.classes, method="softmax"))
    return NetworkDescription((Part("network", tuple(chain.layers)),), tuple(config.session_state()))


class Classification:
    """A text that is fed byte by byte."""

    def __init__(self, text: str, state: Tensor, labels: list[str]) -> None:
        self.state, self.finished = state, False
        self._bytes, self._labels = text.encode(), labels
        self._fed, self._logits = 0, torch.empty(0)

    next_cost, outcome_cost = 1, 0

    @property
    def next_byte(self) -> int:
        return self._bytes[self._fed]

    def update(self, step_output: tuple[Tensor, Tensor]) -> None:
        self._logits, self.state = step_output
        self._fed += 1
        self.finished = self._fed == len(self._bytes)

    def outcome(self, state: bytes) -> Outcome:
        probabilities = [round(value, 4) for value in self._logits.softmax(-1).tolist()]
        return Outcome({"labels": dict(zip(self._labels, probabilities, strict=True))}, state, self._fed)


class ClassificationTask:
    def __init__(self, network: ByteClassifier, labels: list[str], limits: TextLimits) -> None:
        self._network, self._labels, self._limits = network, labels, limits
        self.state_codec = StateLayout([(spec.name, spec.shape) for spec in network.config.session_state()])
        self.initial_state = torch.zeros(self.state_codec.size)

    def cost(self, operation: Operation, *, in_session: bool) -> Cost:
        size = len(operation.input.text or "") if isinstance(operation.input, TextInput) else 0
        return Cost(size, self._network.config.classes, size)

    def start(self, operation: Operation, state: Tensor) -> Classification:
        if not isinstance(operation, Predict) or operation.input is None:
            raise InvalidRequest("this model predicts the label of a text", param="model")
        text = require_text(operation.input).text
        if not text:
            raise InvalidRequest("input.text is empty: expected some text", param="input.text")
        return Classification(text, state, self._labels)

    def forward(self, batch: list[Classification]) -> list[tuple[Tensor, Tensor]]:
        ids = torch.tensor([operation.next_byte for operation in batch])
        states = torch.stack([operation.state for operation in batch])
        logits, after = self._network.step(ids, self.state_codec.split(states))
        return [*zip(logits, self.state_codec.concat(after), strict=True)]


class Accuracy:
    """Fraction of lines `label<TAB>text` whose label is the most probable one."""

    name: ClassVar[str] = "accuracy"
    signature = None

    def __init__(self, data: Path) -> None:
        self._lines = [line.split("\t") for line in data.read_text("utf-8").splitlines()]

    def compute(self, task: AnyTask) -> float:
        operations = [LocatedOperation("", Predict(TextInput(text=text))) for _, text in self._lines]
        outputs: list[Any] = [outcome.output["labels"] for outcome in run_all(task, operations)]
        hits = [max(labels, key=labels.get) == label for labels, (label, _) in zip(outputs, self._lines, strict=True)]
        return sum(map(bool, hits)) / len(hits)


class ByteClassifierTools(ArchitectureTools[ByteClassifierConfig]):
    def recognizes(self, parts: Inventory) -> bool:
        return len(parts.groups) == 1 and [table.rows for table in parts.embeddings] == [256]

    def describe(self, parts: Inventory) -> str:
        return "a classifier of bytes"

    def propose(self, parts: Inventory) -> Proposal:
        (group,), (embedding,), (output,) = parts.groups, parts.embeddings, parts.linears
        fields = {"format_version": 1, "task": "classification", "architecture": "byte-classifier"}
        config = complete_config(ByteClassifierConfig, {**fields, **stack_fields(group), "classes": output.rows})
        names = {embedding.name: "embedding.weight", **stack_names(group, "rnn"), **output.renamed("output")}
        return Proposal(config, names, (), pack_options=("--tokenizer", "LABELS"))

    def check_companions(self, target: Path, config: ByteClassifierConfig, files: CompanionFiles) -> None:
        if files.tokenizer is None:
            raise ModelFolderError(f"{target}: found no labels, expected --tokenizer LABELS")

    def write_companions(self, folder: Path, config: ByteClassifierConfig, files: CompanionFiles) -> None:
        assert files.tokenizer is not None
        shutil.copyfile(files.tokenizer, folder / LABELS)

    def explain_shape(self, name: str, config: ByteClassifierConfig) -> str:
        return f": {config.classes} classes"

    def example(self, folder: Path, config: ByteClassifierConfig) -> dict[str, Any]:
        return {"text": "abc"}

    def metric(self, data: Path, task: AnyTask, config: ByteClassifierConfig) -> Accuracy:
        return Accuracy(data)

    def read_input(self, model: str, config: ByteClassifierConfig, arguments: PredictionArguments) -> TextInput:
        return TextInput(text=arguments.text)

    def render(self, config: ByteClassifierConfig, operation: Predict, output: dict[str, Any]) -> str:
        return ", ".join(f"{label} {probability}" for label, probability in output["labels"].items())


BYTE_CLASSIFIER = ArchitectureSpec(
    config_class=ByteClassifierConfig,
    make_network=ByteClassifier,
    device_methods=("step", "sequence"),
    read_companions=read_labels,
    replay=replay,
    describe=describe,
    make_task=ClassificationTask,
    tools=f"{__name__}:{ByteClassifierTools.__name__}",
)


class Trainer(nn.Module):
    """The network as its trainer wrote it in plain PyTorch."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.lookup = nn.Embedding(256, 6)
        self.recurrent = nn.GRU(6, 8, batch_first=True)
        self.answer = nn.Linear(8, classes)

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.answer(self.recurrent(self.lookup(ids))[0][:, -1])
        return logits


def write_training(folder: Path, labels: Sequence[str]) -> Trainer:
    """Write a checkpoint, its labels and its golden vectors; return the trained network."""
    torch.manual_seed(5)
    trainer = Trainer(len(labels)).eval()
    torch.save(trainer.state_dict(), folder / "checkpoint.pt")
    (folder / LABELS).write_text(json.dumps(labels), "utf-8")
    ids = torch.randint(256, (3, 9))
    with torch.no_grad():
        write_tensor_file(folder / "golden.safetensors", {"inputs.ids": ids, "outputs.logits": trainer(ids)})
    return trainer
