"""From the encoder's last state to the decoder's first.

The decoder's layer k starts from the encoder's layer of the same rank, counted from the top: both directions joined,
[forward; backward], each where it ended. `concat` takes them as they are (sizes must fit); `linear` has a layer
`{h,c}_l{k}` for each tensor of the decoder's state. A decoder LSTM's c comes from c, or from h where the encoder has no
c.
"""

import torch
from torch import nn

from service.nets.config.encoder_decoder_config import EncoderDecoderConfig
from service.nets.layers.dense import Linear
from service.nets.layers.rnn_stack import State


class Bridge(nn.Module):
    """Turns an encoder state into a decoder state, (N, size) each."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        ends = config.encoder.layout()
        widths = {spec.name: spec.shape[0] for spec in ends.state()}
        self._sources: dict[str, list[str]] = {}
        for spec in config.decoder.layout().state():
            kind, layer = spec.name.split("_l")
            kind = kind if ends.cell == "lstm" else "h"
            source = config.bridged_layer(int(layer))
            self._sources[spec.name] = [f"{kind}_l{source}{direction}" for direction in ends.directions]
            if config.bridge == "linear":
                width = sum(widths[name] for name in self._sources[spec.name])
                self.add_module(spec.name, Linear(width, spec.shape[0]))

    def forward(self, state: State) -> State:
        """Return the decoder's recurrent tensors."""
        after: State = {}
        for name, sources in self._sources.items():
            joined = torch.cat([state[source] for source in sources], -1)
            layer = self._modules.get(name)
            after[name] = joined if layer is None else layer(joined)
        return after
