"""What all request bodies share: unknown fields, numbers in strings and numbers that are not finite are refused."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class Schema(BaseModel):
    """Base of all request bodies."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _whole_characters(text: str) -> str:
    for position, character in enumerate(text):
        if "\ud800" <= character <= "\udfff":
            raise ValueError(f"lone surrogate at character {position}: expected Unicode text")
    return text


Text = Annotated[str, AfterValidator(_whole_characters)]
