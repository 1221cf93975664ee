"""Description of sequence encoders."""

from service.nets.config.sequence_encoder_config import SequenceEncoderConfig
from service.nets.descriptions.layers import Chain, Layer, NetworkDescription, Part, embedding
from service.nets.descriptions.sequences import outputs, row_input


def describe_sequence_encoder(config: SequenceEncoderConfig) -> NetworkDescription:
    """Return the layers from the tokens or numbers to the outputs of the task."""
    chain = Chain(config.width)
    if config.vocab_size is not None and config.embedding_size is not None:
        chain.add(embedding(config.embedding_size, config.vocab_size, one_hot=config.one_hot))
    else:
        chain.add(row_input(config))
    chain.projection(config.input_size, present=config.input_projection)
    chain.recurrent(config.rnn_spec(), config.initial_state)
    scored = config.attention
    chain.add(
        Layer(
            kind="readout",
            inputs=config.readout_size,
            outputs=config.readout_size,
            hidden_size=None if scored is None else scored.size,
            method=config.readout,
        )
    )
    chain.feed_forward("head", config.head)
    chain.layers += outputs(config, chain.width)
    return NetworkDescription(
        (Part("network", tuple(chain.layers)),), tuple(config.session_state()), config.window_size
    )
