"""AWD-LSTMs as fastai saves them: weights before dropout, the embedding twice, the optimizer beside."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from service.cli import app

WORDS = ["xxunk", "xxpad", "xxbos", "xxeos", "xxfld", "xxrep", "xxwrep", "xxup", "xxmaj", "the", "film", "was", "good"]
SIZES = [(8, 12), (12, 12), (12, 8)]
OPTIMIZER = {"state": [{"grad_avg": torch.ones(3, 4), "step": 1}], "hypers": [{"lr": 0.1}]}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


class AwdLstm(nn.Module):
    """The layers of an AWD-LSTM; the output layer has the weight of the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Embedding(len(WORDS), 8)
        self.rnns = nn.ModuleList(nn.LSTM(*size, batch_first=True) for size in SIZES)
        self.bias = nn.Parameter(torch.randn(len(WORDS)))

    def forward(self, ids: Tensor) -> Tensor:
        output: Tensor = self.encoder(ids)
        for layer in self.rnns:
            output, _ = layer(output)
        return output @ self.encoder.weight.T + self.bias


def saved(network: AwdLstm, raw: str, stale: str = "") -> dict[str, Tensor]:
    """The state dict of a language model: `raw` is where the weights before dropout stand, `stale` the dropped ones."""
    table = network.encoder.weight.detach()
    tensors = {"0.encoder.weight": table, "0.encoder_dp.emb.weight": table.clone()}
    for index, layer in enumerate(network.rnns):
        for name, tensor in layer.state_dict().items():
            if name == "weight_hh_l0":
                tensors[f"0.rnns.{index}.{raw}"] = tensor
                tensors |= {f"0.rnns.{index}.{stale}": tensor * 0} if stale else {}
            else:
                tensors[f"0.rnns.{index}.module.{name}"] = tensor
    return {**tensors, "1.decoder.weight": table.clone(), "1.decoder.bias": network.bias.detach()}


@pytest.mark.parametrize(
    ("raw", "stale"),
    [
        ("weight_hh_l0_raw", ""),
        ("weight_hh_l0_raw", "module.weight_hh_l0"),
        ("module.weight_hh_l0_raw", ""),
    ],
)
def test_the_weights_before_dropout_are_served_with_the_librarys_vocabulary(
    tmp_path: Path, raw: str, stale: str
) -> None:
    network = AwdLstm()
    torch.save({"model": saved(network, raw, stale), "opt": OPTIMIZER}, tmp_path / "lm.pth")
    (tmp_path / "itos.pkl").write_bytes(pickle.dumps(WORDS))
    result = run("import", tmp_path / "lm.pth", tmp_path / "itos.pkl", tmp_path / "words" / "1", "--plain")
    assert result.exit_code == 0, result.output
    assert "those without dropout, which end in `_raw`, are read" in result.stdout
    assert '{"text": "the film was"}' in result.stdout
    answer = run("predict", tmp_path / "words" / "1", "The film was", "--top-k", 3, "--json")
    with torch.no_grad():
        # xxbos in front, as the library has it.
        expected = network(torch.tensor([[2, 9, 10, 11]]))[0, -1].softmax(0)
    for entry in json.loads(answer.stdout)["predictions"]:
        assert entry["probability"] == pytest.approx(expected[entry["id"]].item(), abs=1e-5)


def test_a_text_classifier_is_refused_for_what_it_reads(tmp_path: Path) -> None:
    tensors = {name: tensor for name, tensor in saved(AwdLstm(), "weight_hh_l0_raw").items() if name[0] == "0"}
    head = nn.Sequential(nn.BatchNorm1d(24), nn.Dropout(), nn.Linear(24, 2, bias=False)).state_dict()
    torch.save({**tensors, **{f"1.layers.0.{name}": tensor for name, tensor in head.items()}}, tmp_path / "c.pth")
    result = run("import", tmp_path / "c.pth", tmp_path / "mood" / "1", "--plain")
    assert result.exit_code == 1
    assert "reads the last output, the maximum and the mean of all outputs at once" in result.stderr
