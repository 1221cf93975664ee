"""Description of forecasters."""

from service.nets.config.forecaster_config import ForecasterConfig
from service.nets.descriptions.layers import Chain, Layer, NetworkDescription, Part


def describe_forecaster(config: ForecasterConfig) -> NetworkDescription:
    """Return the layers from a row to the distributions of the steps ahead."""
    chain = Chain(config.width)
    known = config.known or None
    chain.add(Layer(kind="input", outputs=config.width, reads=_inputs(config), features=config.features, known=known))
    chain.projection(config.input_size, present=config.input_projection)
    chain.recurrent(config.rnn_spec(), config.initial_state)
    if config.readout is not None:
        chain.add(Layer(kind="readout", inputs=chain.width, outputs=chain.width, method=config.readout))
    if config.decoder is None:
        parts: tuple[Part, ...] = (Part("network", (*chain.layers, *_answer(config, chain.width))),)
    else:
        decoder = Chain(len(config.target))
        decoder.add(Layer(kind="input", outputs=decoder.width, reads={"targets": decoder.width}))
        decoder.recurrent(config.decoder.rnn_spec(), "encoder")
        answer = _answer(config, decoder.width)
        parts = Part("encoder", tuple(chain.layers)), Part("decoder", (*decoder.layers, *answer))
    return NetworkDescription(parts, tuple(config.session_state()), config.window_size)


def _inputs(config: ForecasterConfig) -> dict[str, int]:
    """Return the parts of a row."""
    features = len(config.features)
    widths = {
        "features": features,
        "missing": config.width - features - config.calendar_width,
        "calendar": config.calendar_width,
    }
    return {name: width for name, width in widths.items() if width}


def _answer(config: ForecasterConfig, width: int) -> tuple[Layer, ...]:
    """Return the layers behind the recurrent ones."""
    chain = Chain(width)
    chain.feed_forward("head", config.head)
    chain.linear("context", config.context)
    if config.local is not None:
        future = {"future": config.future_width} if config.future_width else {}
        chain.linear("local", config.local, {"context": chain.width, **future} if future else None)
    chain.add(
        Layer(
            kind="output",
            inputs=chain.width,
            outputs=len(config.target) * config.parameters,
            connection="residual" if config.output_residual else None,
            method=config.distribution,
            steps=config.horizon,
        )
    )
    return tuple(chain.layers)
