"""Which model translates between two languages."""

from dataclasses import replace

import pytest

from service.application.languages import Translators
from service.domain.errors import InvalidRequest
from service.domain.models import LanguagePair, ModelVersion
from tests.fakes import model_version


def translator(name: str, source: str, target: str, version: str = "1") -> ModelVersion:
    return replace(model_version(name, version), task="translation", languages=LanguagePair(source, target))


MODELS = Translators(
    {
        "b": [translator("b", "en", "fr")],
        "a": [translator("a", "en", "es"), translator("a", "en", "fr", "2")],
        "c": [translator("c", "de", "fr")],
        "d": [translator("d", "fr", "de")],
        "unnamed": [replace(model_version("unnamed"), task="translation")],
        "words": [model_version("words")],
    }
)


def test_the_languages_are_those_of_the_newest_versions() -> None:
    assert MODELS.languages() == {"de": ["fr"], "en": ["fr"], "fr": ["de"]}


def test_the_first_model_of_a_pair_translates() -> None:
    assert (MODELS.find("en", "fr").name, MODELS.find("en", "fr").version) == ("a", "2")
    assert MODELS.find("de", "fr").name == "c"


def test_the_language_of_a_text_need_not_be_named_if_one_alone_is_possible() -> None:
    assert MODELS.find("auto", "de").name == "d"
    with pytest.raises(InvalidRequest, match=r"source is 'auto': expected one of \['de', 'en'\]"):
        MODELS.find("auto", "fr")


@pytest.mark.parametrize(
    ("source", "target", "named"),
    [
        ("en", "xx", r"target is 'xx': expected one of \['de', 'fr'\]"),
        ("xx", "fr", r"source is 'xx': expected one of \['de', 'en'\] for target 'fr'"),
        ("en", "de", r"source is 'en': expected one of \['fr'\] for target 'de'"),
    ],
)
def test_other_languages_are_refused_by_name(source: str, target: str, named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        MODELS.find(source, target)
