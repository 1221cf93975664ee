"""Base schema of request bodies: rejects unknown fields, numbers in strings and numbers that are not finite."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class Schema(BaseModel):
    """Base of all request bodies."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _reject_surrogates(text: str) -> str:
    for index, character in enumerate(text):
        if "\ud800" <= character <= "\udfff":
            raise ValueError(f"lone surrogate at character {index}: expected Unicode text")
    return text


Text = Annotated[str, AfterValidator(_reject_surrogates)]
