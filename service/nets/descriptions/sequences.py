"""Description of what networks of sequences read and answer, whatever is between the two."""

from service.nets.config.architecture_config import SequenceConfig
from service.nets.descriptions.layers import Layer


def row_input(config: SequenceConfig) -> Layer:
    """Return the input of rows of numbers."""
    features = len(config.features)
    indicators = {"missing": config.row_width - features} if config.missing_indicator else {}
    reads = {"features": features, **indicators}
    return Layer(kind="input", outputs=config.row_width, reads=reads, features=config.features)


def outputs(config: SequenceConfig, inputs: int) -> list[Layer]:
    """Return the output layer, if the outputs are not the features, and the CRF behind it."""
    count = config.output_size
    if not count:
        return []
    of_labels = "sigmoid" if config.multi_label else "softmax"
    activation = of_labels if config.labels else config.activation
    method = None if activation == "none" or config.crf else activation
    layers = [Layer(kind="output", inputs=inputs, outputs=count, method=method)]
    return [*layers, Layer(kind="crf", inputs=count, outputs=count)] if config.crf else layers
