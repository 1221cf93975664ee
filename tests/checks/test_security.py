"""docs/security.md names every bound, with its setting and the default that it has."""

import re

import pytest

from service.settings import Settings, variable
from tests.checks.places import ROOT

DOCUMENT = (ROOT / "docs" / "security.md").read_text("utf-8")
SETTINGS = {
    variable(name): field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()
}
#: Setting and default of each row of the table of bounds.
BOUNDS = re.findall(r"^\| [^|]+ \| [^|]+ \| `(UNROLL_\w+)` \| ([^|]+) \| [^|]+ \|$", DOCUMENT, re.MULTILINE)


def test_every_setting_that_is_named_exists() -> None:
    assert set(re.findall(r"UNROLL_[A-Z_]*[A-Z]", DOCUMENT)) - SETTINGS.keys() == set()


def test_every_maximum_stands_in_the_table_of_bounds() -> None:
    maxima = {name for name in SETTINGS if name.startswith("UNROLL_MAX_")}
    assert maxima
    assert maxima - {name for name, _ in BOUNDS} == set()


def test_no_bound_stands_in_the_table_twice() -> None:
    names = [name for name, _ in BOUNDS]
    assert len(names) == len(set(names)) > 5


@pytest.mark.parametrize(("name", "shown"), BOUNDS)
def test_a_bound_has_the_default_that_its_setting_has(name: str, shown: str) -> None:
    default = SETTINGS[name]
    value = f"{default:g}" if isinstance(default, float) else str(default)
    assert shown.strip().split(":")[0] == ("unset" if default is None else f"`{value}`")
