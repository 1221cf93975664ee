"""Cost of operations on an ONNX graph."""

from service.domain.cost import NUMBER_BYTES, Cost
from service.domain.operations import Operation, Predict, TensorInput
from service.nets.onnx_graph.network import OnnxNetwork
from service.tasks.tensor.plans import input_steps

#: Bytes of an element of an input: as the client sent it, and converted.
ELEMENT_BYTES = 24
#: Copies of the input and of the state while they are fed.
COPIES = 4


def tensor_cost(operation: Operation, network: OnnxNetwork, weight: int) -> Cost:
    """Return the cost of an operation. One that the model rejects may have any cost."""
    tensor_input = operation.input
    if not isinstance(tensor_input, TensorInput):
        return Cost(1, 1, network.rows.size)
    steps = tensor_input.steps or (isinstance(operation, Predict) and operation.options.steps)
    count, length = input_steps(tensor_input, network.config, steps=steps)
    elements = sum(tensor.count for tensor in tensor_input.tensors)
    # Outputs grow with the axes of any size; their sizes were found with the sizes of the trial.
    tried = max(network.finding.sizes.values(), default=1)
    numbers = count * network.finding.numbers * -(-length // tried)
    memory = (ELEMENT_BYTES + COPIES * 8) * elements + NUMBER_BYTES * numbers + COPIES * network.rows.size
    return Cost(count * length * weight, numbers, memory)
