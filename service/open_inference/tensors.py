"""Descriptions of the tensors of a request, whatever carries them."""

from collections.abc import Collection

from service.domain.errors import InvalidRequest
from service.domain.tensors import DATATYPES


def require_description(name: str, datatype: str, shape: Collection[int], before: Collection[str]) -> None:
    """Raise InvalidRequest if an input is there twice, or its datatype or shape cannot be."""
    if name in before:
        raise InvalidRequest(f"inputs has {name!r} twice: expected each input once", param="inputs")
    if datatype not in DATATYPES:
        raise InvalidRequest(
            f"{name} has the datatype {datatype[:40]!r}: expected one of {', '.join(DATATYPES)}", param=name
        )
    if min(shape) < 0:
        raise InvalidRequest(f"{name} has the shape {[*shape]}: expected sizes of 0 or more", param=name)


def require_no_parameters(name: str, parameters: Collection[str], known: str = "") -> None:
    """Raise InvalidRequest if an input has a parameter that is not known."""
    unknown = sorted({*parameters} - {known})
    if unknown:
        expected = f"none but {known}" if known else "none"
        raise InvalidRequest(
            f"{name} has the parameter {unknown[0][:80]!r}: expected {expected}, since other extensions are not served",
            param=name,
        )
