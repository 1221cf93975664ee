"""The front matter of model cards."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.domain.errors import ModelFolderError
from service.domain.models import LanguagePair
from service.model_folder.model_card import ModelCard, read_card

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
metrics = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(folder: Path, front: str) -> ModelCard:
    (folder / "README.md").write_text(f"---\n{front}\n---\n# Card\n", "utf-8")
    return read_card(folder)


@in_one_folder
@example(description="\u00a0", values={})
@given(description=texts, values=st.dictionaries(texts, metrics, max_size=4))
def test_what_is_written_is_read(tmp_path: Path, description: str, values: dict[str, Any]) -> None:
    front = yaml.safe_dump({"description": description, "metrics": values}, allow_unicode=True)
    if "\n---\n" in f"\n{front}\n":
        return
    assert read(tmp_path, front) == ModelCard(description.strip(), values, text=f"---\n{front}\n---\n# Card\n")


@in_one_folder
@given(front=st.text(st.sampled_from("ab:-[]{}&*!?|>'\"%@`, \n\t#0123456789.~<"), max_size=60))
def test_any_front_matter_is_read_or_refused(tmp_path: Path, front: str) -> None:
    try:
        read(tmp_path, front)
    except ModelFolderError as error:
        assert "README.md: front matter" in str(error)  # noqa: PT017 many are read


def test_a_card_is_optional_and_so_is_its_front_matter(tmp_path: Path) -> None:
    assert read_card(tmp_path) == ModelCard()
    (tmp_path / "README.md").write_text("# Card\n")
    assert read_card(tmp_path) == ModelCard(text="# Card\n")
    assert read(tmp_path, "") == ModelCard(text="---\n\n---\n# Card\n")


@pytest.mark.parametrize("front", ["description: &a x", "metrics: {a: &a [1], b: *a}", "metrics:\n  <<: *a"])
def test_anchors_and_aliases_are_refused(tmp_path: Path, front: str) -> None:
    with pytest.raises(ModelFolderError, match="anchors and aliases"):
        read(tmp_path, front)


def test_a_card_names_the_languages_of_a_translation_model(tmp_path: Path) -> None:
    assert read(tmp_path, "source_language: en\ntarget_language: pt-BR").languages == LanguagePair("en", "pt-BR")


@pytest.mark.parametrize(
    ("front", "named"),
    [
        ("source_language: en", "target_language: found nothing"),
        ("target_language: en", "source_language: found nothing"),
        ("source_language: no\ntarget_language: fr", "source_language: found False"),
        ("source_language: English\ntarget_language: fr", "source_language: found 'English'"),
        ("source_language: en\ntarget_language: [fr]", "target_language: found \\['fr'\\]"),
    ],
)
def test_languages_that_are_none_are_refused(tmp_path: Path, front: str, named: str) -> None:
    with pytest.raises(ModelFolderError, match=f"{named}, expected a language tag such as en"):
        read(tmp_path, front)
