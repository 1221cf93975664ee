"""Description of encoder-decoders."""

from service.nets.config.encoder_decoder_config import READOUT_PARTS, EncoderDecoderConfig
from service.nets.descriptions.layers import Chain, Layer, NetworkDescription, Part, embedding


def describe_encoder_decoder(config: EncoderDecoderConfig) -> NetworkDescription:
    """Return the layers of both sides, and the bridge between them."""
    parts = (_encoder(config), _bridge(config), _decoder(config))
    return NetworkDescription(parts, tuple(config.session_state()))


def _encoder(config: EncoderDecoderConfig) -> Part:
    side = config.encoder
    chain = Chain(0)
    chain.add(embedding(side.embedding_size, side.vocab_size, one_hot=side.one_hot))
    chain.recurrent(side.rnn_spec(), side.initial_state)
    return Part("encoder", tuple(chain.layers))


def _bridge(config: EncoderDecoderConfig) -> Part:
    sides = config.encoder.rnn_spec(), config.decoder.rnn_spec()
    inputs, outputs = (sum(spec.shape[0] for spec in side.recurrent_state()) for side in sides)
    activation = None if config.bridge_activation == "none" else config.bridge_activation
    layer = Layer(
        kind="bridge",
        inputs=inputs,
        outputs=outputs,
        reads={"encoder": inputs},
        method=config.bridge,
        activation=activation,
    )
    return Part("bridge", (layer,))


def _decoder(config: EncoderDecoderConfig) -> Part:
    side = config.decoder
    chain = Chain(0)
    chain.add(embedding(side.embedding_size, side.vocab_size, one_hot=side.one_hot))
    if config.attends_in_front:
        chain.add(_attention(config, "state"))
    chain.width = config.decoder_reads
    chain.recurrent(side.rnn_spec().reading(config.decoder_reads), "bridge", _decoder_inputs(config))
    if config.attention is not None and not config.attends_in_front:
        chain.add(_attention(config, "output"))
    chain.width = config.context_size
    chain.linear("combine", config.combine, _combined(config))
    chain.add(
        Layer(
            kind="output",
            inputs=config.features_size,
            reads=_combined(config) if config.combine is None else None,
            outputs=side.vocab_size,
            vocabulary=side.vocab_size,
            tied=side.tie_weights,
            method="softmax",
        )
    )
    return Part("decoder", tuple(chain.layers))


def _decoder_inputs(config: EncoderDecoderConfig) -> dict[str, int] | None:
    """Return what the decoder reads beside the embedding of a token, None if nothing."""
    further = {"features": config.features_size} if config.decoder.input_feed else {}
    if config.attends_in_front:
        further["context"] = config.memory_size
    return {"token": config.decoder.embedding_size, **further} if further else None


def _attention(config: EncoderDecoderConfig, query: str) -> Layer:
    return Layer(
        kind="attention",
        inputs=config.query_size,
        outputs=config.memory_size,
        reads={"encoder": config.memory_size, query: config.query_size},
        method=config.attention,
    )


def _combined(config: EncoderDecoderConfig) -> dict[str, int] | None:
    """Return what the layer after the decoder reads, None if that is the output of the layer before alone."""
    side = config.decoder
    sizes = config.memory_size, side.rnn_spec().output_size(), side.embedding_size
    widths = dict(zip(READOUT_PARTS, sizes, strict=True))
    return {part: widths[part] for part in config.readout_parts} if len(config.readout_parts) > 1 else None
