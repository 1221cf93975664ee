"""Schemas of models, sessions and readiness in responses, for the OpenAPI document only, as those of `responses.py`."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel


class Model(BaseModel):
    """A served model; the figures are those of its newest version.

    `vector_size` is the size of the vector that a sequence begins with, left out where it begins with none.
    `retiring_versions` take no new sessions, while those that they have continue; left out where there are none.
    """

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    task: str
    versions: list[str]
    default_version: str
    architecture: str
    cell: str
    num_layers: int
    hidden_size: int | list[int]
    parameters: int
    state_bytes: int
    fingerprint: str
    dtype: str
    verified: bool
    description: str
    metrics: dict[str, Any]
    vector_size: int | None = None
    retiring_versions: list[str] | None = None


class ModelList(BaseModel):
    """All served models."""

    object: Literal["list"]
    data: list[Model]


class GraphTensor(BaseModel):
    """An input or output of an ONNX graph; texts in the shape name axes of any size."""

    name: str
    dtype: str
    shape: list[int | str]


class GraphState(BaseModel):
    """A state of an ONNX graph: its `output` is the `input` of the next timestep."""

    input: str
    output: str
    dtype: str
    shape: list[int | str]


class GraphTensors(BaseModel):
    """The tensors of an ONNX graph. `constants` are the names of inputs that are the same for all."""

    inputs: list[GraphTensor]
    outputs: list[GraphTensor]
    states: list[GraphState]
    constants: list[str]


class NetworkLayer(BaseModel):
    """A layer, or `depth` recurrent ones of one kind. Fields that do not apply are left out.

    `inputs` and `outputs` are the numbers of a timestep; `reads` are the parts of the inputs, each with its size, if
    they are more than the outputs of the layer before. `initial_state` and `reads` name another part of the network,
    if they come from that. `method` is how a readout, an attention, a bridge or an output is computed. `steps` is the
    number of steps ahead that a layer of a forecaster answers. `features` are the columns of the rows that an input
    reads, in order, and `known` those of them that are known in advance.
    """

    kind: Literal[
        "input", "embedding", "one_hot", "linear", "layer_norm", "batch_norm", "activation", "convolution",
        "recurrent", "bridge", "attention", "readout", "output", "crf", "graph",
    ]  # fmt: skip
    name: str | None = None
    inputs: int | None = None
    outputs: int | None = None
    reads: dict[str, int] | None = None
    features: list[str] | None = None
    known: list[str] | None = None
    vocabulary: int | None = None
    tied: bool | None = None
    cell: str | None = None
    depth: int | None = None
    hidden_size: int | None = None
    projection_size: int | None = None
    bidirectional: bool | None = None
    initial_state: str | None = None
    connection: str | None = None
    layer_norm: bool | None = None
    kernel: int | None = None
    dilation: int | None = None
    padding: str | None = None
    activation: str | None = None
    gate_activation: str | None = None
    method: str | None = None
    steps: int | None = None
    tensors: GraphTensors | None = None


class NetworkPart(BaseModel):
    """Layers that follow each other, such as an encoder."""

    name: str
    layers: list[NetworkLayer]


class StateTensor(BaseModel):
    """A tensor that a session stores."""

    name: str
    shape: list[int]
    dtype: str


class Network(BaseModel):
    """The layers of a version. Each answer is computed from the last `window` inputs, or from all if that is null."""

    object: Literal["network"]
    model: str
    version: str
    architecture: str
    window: int | None
    parts: list[NetworkPart]
    state: list[StateTensor]


class Session(BaseModel):
    """Where a session stands. `tenant` is there if the request names one."""

    id: str
    model: str
    version: str
    task: str
    step: int
    timesteps: int
    created_at: datetime
    expires_at: datetime
    ttl_seconds: int
    durability: Literal["memory", "replicated", "fsynced"]
    state_bytes: int
    tenant: str | None = None


class SessionList(BaseModel):
    """One page of sessions, newest first."""

    object: Literal["list"]
    data: list[Session]
    next_cursor: str | None


class Limits(BaseModel):
    """Limits of a tenant; null is none. The engine serves it by its weight."""

    requests_per_second: float | None
    cost_per_second: float | None
    sessions: int | None
    state_bytes: int | None
    ttl_seconds: int | None
    kept_steps: int | None
    weight: float


class Remaining(BaseModel):
    """What the limits of a tenant leave it now; what is not limited is left out."""

    requests_per_second: float | None = None
    cost_per_second: float | None = None
    sessions: int | None = None
    state_bytes: int | None = None


class Usage(BaseModel):
    """What a tenant has over all workers: live sessions, the bytes that these reserve, and its limits."""

    object: Literal["usage"]
    tenant: str
    sessions: int
    state_bytes: int
    limits: Limits
    remaining: Remaining


class UsageList(BaseModel):
    """Usage of one tenant, or of all."""

    object: Literal["list"]
    data: list[Usage]


class Readiness(BaseModel):
    """What the parts say."""

    status: Literal["ready", "draining", "degraded", "unavailable"]
    checks: dict[str, str]
