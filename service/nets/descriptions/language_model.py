"""Description of language models."""

from collections.abc import Iterator

from service.nets.config.feed_forward import LinearConfig
from service.nets.config.language_model_config import LanguageModelConfig
from service.nets.descriptions.layers import Chain, Layer, NetworkDescription, Part, embedding


def describe_language_model(config: LanguageModelConfig) -> NetworkDescription:
    """Return the layers from the tokens to the logits, and those that read a vector."""
    chain = Chain(0)
    chain.add(embedding(config.embedding_size, config.vocab_size, one_hot=config.one_hot))
    chain.projection(config.input_size, present=config.input_projection)
    chain.recurrent(config.rnn_spec(), config.initial_state)
    chain.feed_forward("head", config.head)
    chain.add(
        Layer(
            kind="output",
            inputs=chain.width,
            outputs=config.vocab_size,
            vocabulary=config.vocab_size,
            tied=config.tie_weights,
            method="softmax",
        )
    )
    parts = (*_vector_part(config), Part("network", tuple(chain.layers)))
    return NetworkDescription(parts, tuple(config.session_state()), config.window_size)


def _vector_part(config: LanguageModelConfig) -> Iterator[Part]:
    vector = config.vector
    if vector is None:
        return
    chain = Chain(vector.size, [Layer(kind="input", outputs=vector.size, reads={"vector": vector.size})])
    chain.feed_forward("layers", vector.layers)
    width = chain.width
    if size := sum(spec.shape[0] for spec in config.vector_states()):
        chain.linear("initial_state", LinearConfig(size=size, activation=vector.activation))
    chain.width = width
    chain.feed_forward("first_input", vector.first_input or ())
    yield Part("vector", tuple(chain.layers))
