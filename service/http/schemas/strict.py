"""Base schema of request bodies: rejects unknown fields, numbers in strings and numbers that are not finite."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

SURROGATE = re.compile("[\ud800-\udfff]")


class Schema(BaseModel):
    """Base of all request bodies."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def require_unicode(text: str) -> str:
    """Return a text. Raises ValueError for one with a lone surrogate."""
    if text.isascii():
        return text
    surrogate = SURROGATE.search(text)
    if surrogate is not None:
        raise ValueError(f"lone surrogate at character {surrogate.start()}: expected Unicode text")
    return text


Text = Annotated[str, AfterValidator(require_unicode)]
