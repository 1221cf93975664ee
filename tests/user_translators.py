"""Translation networks as users write them, under names of their own; each computes its own golden vectors."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.translation_folders import SOURCE, TARGET, write_subwords

__all__ = ["SOURCE", "TARGET", "Additive", "OpenNMT", "Plain", "Reversed", "Tutorial", "User", "write_subwords"]

State = tuple[Tensor, ...]


class User(nn.Module):
    """The course of a translation; each network below says what its parts are called and what they compute."""

    def finish(self) -> "User":
        generator = torch.Generator().manual_seed(3)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.4, generator=generator)
        return self.eval()

    def start(self, last: State) -> State:
        """The encoder's last state (L, B, H) each -> the decoder's first."""
        return last

    def feed(self, x: Tensor, features: Tensor) -> Tensor:
        """What the recurrent layers read: embedding and last features (B, ...)."""
        return x

    def features(self, query: Tensor, memory: Tensor) -> Tensor:
        """Decoder output (B, D) and memory (B, S, M) -> what the output layer reads."""
        return query

    @torch.no_grad()
    def golden(self, sizes: tuple[int, int], width: int) -> dict[str, Tensor]:
        """Golden vectors of random ids; `width` is that of the features."""
        generator = torch.Generator().manual_seed(7)
        source, target = (torch.randint(size, (2, 5), generator=generator) for size in sizes)
        read_source, read, write_target, write, output = self.parts()
        memory, last = read(read_source(source))
        state = self.start(last if isinstance(last, tuple) else (last,))
        features, logits = torch.zeros(len(source), width), []
        for column in target.unbind(1):
            x = self.feed(write_target(column), features)
            query, last = write(x[:, None], state if len(state) == 2 else state[0])
            state = last if isinstance(last, tuple) else (last,)
            features = self.features(query[:, 0], memory)
            logits.append(output(features))
        states = {f"state.{kind}": one for kind, one in zip("hc", state, strict=False)}
        return {
            "inputs.source": source,
            "inputs.target": target,
            "outputs.logits": torch.stack(logits, 1),
            **{name: one.contiguous() for name, one in states.items()},
        }

    def parts(self) -> tuple[Callable[..., Tensor], nn.Module, Callable[..., Tensor], nn.Module, Callable[..., Tensor]]:
        raise NotImplementedError


def attend(scores: Tensor, memory: Tensor) -> Tensor:
    """Scores (B, S), memory (B, S, M) -> (B, M)."""
    return torch.einsum("bs,bsm->bm", scores.softmax(-1), memory)


class Plain(User):
    """Two layers of LSTM on each side, no attention: `encoder.rnn`, `decoder.fc_out`."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict(
            {"embedding": nn.Embedding(source, 7), "rnn": nn.LSTM(7, 8, 2, batch_first=True, dropout=0.5)}
        )
        self.decoder = nn.ModuleDict(
            {
                "embedding": nn.Embedding(target, 6),
                "rnn": nn.LSTM(6, 8, 2, batch_first=True, dropout=0.5),
                "fc_out": nn.Linear(8, target),
            }
        )
        self.finish()

    def parts(self) -> tuple[nn.Module, ...]:  # type: ignore[override]
        encoder, decoder = self.encoder, self.decoder
        return encoder["embedding"], encoder["rnn"], decoder["embedding"], decoder["rnn"], decoder["fc_out"]


class Tutorial(User):
    """EncoderRNN and DecoderRNN with a GRU each; their state dicts are saved side by side."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"embedding": nn.Embedding(source, 8), "gru": nn.GRU(8, 8, batch_first=True)})
        self.decoder = nn.ModuleDict(
            {"embedding": nn.Embedding(target, 8), "gru": nn.GRU(8, 8, batch_first=True), "out": nn.Linear(8, target)}
        )
        self.finish()

    def parts(self) -> tuple[nn.Module, ...]:  # type: ignore[override]
        encoder, decoder = self.encoder, self.decoder
        return encoder["embedding"], encoder["gru"], decoder["embedding"], decoder["gru"], decoder["out"]


class OpenNMT(User):
    """Both directions joined, general attention on the query, no bias behind it, the last features fed."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict(
            {
                "embeddings": nn.Embedding(source, 7),
                "rnn": nn.LSTM(7, 5, 2, batch_first=True, bidirectional=True),
            }
        )
        self.decoder = nn.ModuleDict(
            {
                "embeddings": nn.Embedding(target, 6),
                "rnn": nn.LSTM(16, 10, 2, batch_first=True),
                "attn": nn.ModuleDict(
                    {"linear_in": nn.Linear(10, 10, bias=False), "linear_out": nn.Linear(20, 10, bias=False)}
                ),
            }
        )
        self.generator = nn.Sequential(nn.Linear(10, target))
        self.finish()

    def start(self, last: State) -> State:
        return tuple(torch.cat([one[0::2], one[1::2]], -1) for one in last)

    def feed(self, x: Tensor, features: Tensor) -> Tensor:
        return torch.cat([x, features], -1)

    def features(self, query: Tensor, memory: Tensor) -> Tensor:
        attention = self.decoder["attn"]
        scores = torch.einsum("bd,bsd->bs", attention["linear_in"](query), memory)
        return torch.tanh(attention["linear_out"](torch.cat([attend(scores, memory), query], -1)))

    def parts(self) -> tuple[nn.Module, ...]:  # type: ignore[override]
        encoder, decoder = self.encoder, self.decoder
        return encoder["embeddings"], encoder["rnn"], decoder["embeddings"], decoder["rnn"], self.generator


class Additive(User):
    """Wa, Ua and Va with a bias each behind a GRU, layers between the sides, a third copy of the source's embedding."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        self.src_embed, self.trg_embed = nn.Embedding(source, 7), nn.Embedding(target, 6)
        self.copy_embed = self.src_embed
        self.enc = nn.GRU(7, 5, batch_first=True, bidirectional=True)
        self.dec = nn.GRU(6, 9, batch_first=True)
        self.bridge = nn.Linear(10, 9)
        self.attention = nn.ModuleDict({"Wa": nn.Linear(9, 9), "Ua": nn.Linear(10, 9), "Va": nn.Linear(9, 1)})
        self.out = nn.Linear(19, target)
        self.finish()

    def start(self, last: State) -> State:
        (h,) = last
        return (self.bridge(torch.cat([h[0], h[1]], -1))[None],)

    def features(self, query: Tensor, memory: Tensor) -> Tensor:
        layers = self.attention
        scores = layers["Va"](torch.tanh(layers["Wa"](query)[:, None] + layers["Ua"](memory))).squeeze(-1)
        return torch.cat([attend(scores, memory), query], -1)

    def parts(self) -> tuple[nn.Module, ...]:  # type: ignore[override]
        return self.src_embed, self.enc, self.trg_embed, self.dec, self.out


class Reversed(User):
    """One embedding for both sides, tied to the output; dot attention; the combine layer reads the query first."""

    def __init__(self, source: int, _: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(source, 8)
        self.encoder = nn.ModuleDict({"gru": nn.GRU(8, 8, batch_first=True)})
        self.decoder = nn.ModuleDict({"gru": nn.GRU(8, 8, batch_first=True)})
        self.concat = nn.Linear(16, 8)
        self.out = nn.Linear(8, source)
        self.out.weight = self.embedding.weight
        self.finish()

    def features(self, query: Tensor, memory: Tensor) -> Tensor:
        scores = torch.einsum("bd,bsd->bs", query, memory)
        return torch.tanh(self.concat(torch.cat([query, attend(scores, memory)], -1)))

    def parts(self) -> tuple[nn.Module, ...]:  # type: ignore[override]
        return self.embedding, self.encoder["gru"], self.embedding, self.decoder["gru"], self.out
