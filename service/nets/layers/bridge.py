"""Bridge from the final state of an encoder to the initial state of a decoder.

Layer k of the decoder starts from the encoder layer of the same rank, counted from the top, with both directions
concatenated as [forward; backward]. The bridge `concat` uses the result as it is, so the sizes have to agree. The
bridge `linear` has a linear layer `{h,c}_l{k}` for each tensor of the decoder's state. The c of a decoder LSTM comes
from the encoder's c, or from its h if the encoder is not an LSTM.
"""

import torch
from torch import nn

from service.nets.config.encoder_decoder_config import EncoderDecoderConfig
from service.nets.layers.activations import make_activation
from service.nets.layers.dense import Linear
from service.nets.layers.rnn_stack import State


class Bridge(nn.Module):
    """Maps the final state of an encoder to the initial state of a decoder, tensors of (N, size)."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        encoder = config.encoder.rnn_spec()
        layers = encoder.layers
        widths = {spec.name: spec.shape[0] for spec in encoder.state()}
        self._activation = make_activation(config.bridge_activation)
        self._sources: dict[str, list[str]] = {}
        for spec in config.decoder.rnn_spec().state():
            kind, layer = spec.name.split("_l")
            source = config.bridged_layer(int(layer))
            kind = kind if layers[source].cell == "lstm" else "h"
            self._sources[spec.name] = [f"{kind}_l{source}{direction}" for direction in layers[source].directions]
            if config.bridge == "linear":
                width = sum(widths[name] for name in self._sources[spec.name])
                self.add_module(spec.name, Linear(width, spec.shape[0]))

    def forward(self, state: State) -> State:
        """Return the initial state of the decoder, (N, size) each."""
        initial: State = {}
        for name, sources in self._sources.items():
            joined = torch.cat([state[source] for source in sources], -1)
            layer = self._modules.get(name)
            initial[name] = joined if layer is None else self._activation(layer(joined))
        return initial
