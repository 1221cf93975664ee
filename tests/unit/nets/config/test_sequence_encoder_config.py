"""config.json of sequence encoders: fields that contradict each other are refused by name."""

from typing import Any

import pytest

from service.domain.errors import ModelFolderError
from tests.encoder_folders import encoder_fields
from tests.registered import build_config, with_state


def config(task: str, *, text: bool = True, **changes: Any) -> Any:
    fields = encoder_fields(task, text=text, **changes)
    return build_config(with_state(fields, "config.json"), "config.json")


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("classification", {"readout": "each"}, "readout: found each, expected one of last, last_output, mean, max"),
        ("tagging", {"readout": "mean"}, "readout: found mean, expected one of each: each timestep has a label"),
        ("classification", {"labels": ["a"]}, "labels: found ['a'], expected at least 2, one for each output"),
        ("classification", {"labels": ["a", "b", "a"]}, "labels: found 'a' twice, expected each once"),
        (
            "regression",
            {"labels": ["a", "b"]},
            "labels: found ['a', 'b'], expected it to be left out: it is no field of",
        ),
        ("regression", {"names": []}, "names: found nothing, expected at least 1"),
        ("classification", {"crf": True}, "crf: found true, expected it to be left out"),
        ("tagging", {"multi_label": True}, "multi_label: found true, expected it to be left out"),
        ("regression", {"target_mean": [1.0]}, "target_mean: found 1 numbers, expected 2, one for each of names"),
        ("regression", {"target_scale": 0}, "target_scale"),
        ("embedding", {"names": ["a"]}, "names: found ['a'], expected it to be left out"),
        (
            "tagging",
            {"labels": [f"l{n}" for n in range(600)], "crf": True},
            "crf: found true, expected false: a CRF of 600 labels is too large, 512 are possible",
        ),
        ("embedding", {"attention": {"size": 4}}, "attention: found 4, expected null, since readout is mean"),
        ("embedding", {"features": ["a"]}, "features: found ['a'], expected none: vocab_size says that"),
        (
            "embedding",
            {"special_tokens": {"end": "</s>"}},
            "special_tokens: found end, expected only the roles unknown",
        ),
        ("embedding", {"input_size": 9}, "input_size: found 9, expected 8 (embedding_size), or input_projection true"),
        ("embedding", {"output_residual": True}, "output_residual: found true, expected false"),
        ("embedding", {"embedding_size": None, "input_size": 8}, "embedding_size: found nothing, expected the width"),
        ("embedding", {"readout": "first"}, 'readout: found "first", expected'),
    ],
)
def test_a_field_that_contradicts_another_is_refused(task: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFolderError) as caught:
        config(task, **changes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": [], "input_size": 3}, "features: found nothing, expected names of the numbers of a row"),
        ({"features": ["a", "a", "b"]}, "features: found ['a', 'a', 'b'], expected each name once"),
        ({"embedding_size": 3}, "vocab_size: found nothing, expected the number of tokens"),
        (
            {"special_tokens": {"begin": "<s>"}},
            "special_tokens: found ['begin'], expected none: the network reads numbers",
        ),
    ],
)
def test_a_field_of_text_is_refused_of_numbers(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFolderError) as caught:
        config("regression", text=False, **changes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"readout": "last"}, ["h_l0"]),
        ({"readout": "last", "cell": "lstm"}, ["h_l0", "c_l0"]),
        ({"readout": "last", "layer_norm": True}, ["h_l0", "output"]),
        ({"readout": "mean"}, ["h_l0", "sum"]),
        ({"readout": "max"}, ["h_l0", "maximum"]),
        ({"readout": "attention"}, ["h_l0", "max_score", "weight_sum", "weighted_sum"]),
        ({"readout": "mean", "bidirectional": True}, []),
    ],
)
def test_a_session_stores_what_the_readout_needs(changes: dict[str, Any], names: list[str]) -> None:
    assert [entry.name for entry in config("embedding", **changes).state] == names


def test_a_session_over_numbers_stores_the_last_row() -> None:
    assert [entry.name for entry in config("regression", text=False).state] == ["h_l0", "last"]
