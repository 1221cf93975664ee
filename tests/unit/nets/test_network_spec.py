"""Selection of the specification that a config.json asks for, among those of several architectures."""

from typing import Literal

import pytest
from torch import nn

from service.domain.errors import ModelFolderError
from service.nets.config.architecture_config import ArchitectureConfig
from service.nets.network_spec import NetworkSpec, find_spec


class First(ArchitectureConfig):
    task: Literal["counting"]
    architecture: Literal["first"]


class Second(ArchitectureConfig):
    task: Literal["counting"]
    architecture: Literal["second", "second-again"]


class Alone(ArchitectureConfig):
    task: Literal["sorting"]
    architecture: Literal["alone"]


FIRST, SECOND, ALONE = (NetworkSpec(config, lambda _: nn.Identity(), ()) for config in (First, Second, Alone))
ALL = (FIRST, SECOND, ALONE)


@pytest.mark.parametrize(("architecture", "spec"), [("first", FIRST), ("second", SECOND), ("second-again", SECOND)])
def test_architectures_of_one_task_are_selected_by_name(architecture: str, spec: object) -> None:
    assert find_spec({"task": "counting", "architecture": architecture}, "place", ALL) is spec


def test_the_only_architecture_of_a_task_is_selected_whatever_its_name(  # its configuration refuses the name
) -> None:
    assert find_spec({"task": "sorting", "architecture": "unknown"}, "place", ALL) is ALONE
    assert find_spec({"task": "sorting"}, "place", ALL) is ALONE


@pytest.mark.parametrize(("value", "shown"), [("third", '"third"'), (None, "null"), ([1], "[1]")])
def test_an_unknown_architecture_of_a_task_with_several_is_refused(value: object, shown: str) -> None:
    with pytest.raises(ModelFolderError) as error:
        find_spec({"task": "counting", "architecture": value}, "place", ALL)
    expected = "one of 'first', 'second', 'second-again'"
    assert str(error.value) == f"place: architecture: found {shown}, expected {expected}"


@pytest.mark.parametrize(("value", "shown"), [("third", '"third"'), (None, "null"), ({"a": 1}, '{"a": 1}')])
def test_an_unknown_task_is_refused_with_the_known_ones_each_once(value: object, shown: str) -> None:
    with pytest.raises(ModelFolderError) as error:
        find_spec({"task": value}, "place", ALL)
    expected = "one of 'counting', 'sorting'; others are not served yet"
    assert str(error.value) == f"place: task: found {shown}, expected {expected}"
