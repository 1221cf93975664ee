"""Encoding of a text as token ids, within a limit on their number."""

from service.domain.errors import InputTooLong, InvalidRequest
from service.domain.operations import TextInput
from service.tasks.vocabulary import EncodedText, Vocabulary


def encode_text(vocabulary: Vocabulary, text_input: TextInput, limit: int) -> EncodedText:
    """Return an encoded text of at least one token. Raises InvalidRequest, InputTooLong beyond `limit` tokens."""
    require_length(vocabulary, text_input.text or "", limit)
    encoded = vocabulary.encode(text_input)
    field = "text" if text_input.text is not None else "tokens" if text_input.tokens is not None else "ids"
    if not encoded.ids:
        raise empty_input(field)
    if len(encoded.ids) > limit:
        raise InputTooLong(
            f"input.{field} has {len(encoded.ids)} tokens: expected at most {limit}", param=f"input.{field}"
        )
    return encoded


def require_length(vocabulary: Vocabulary, text: str, limit: int) -> None:
    """Raise InputTooLong for a text of far more tokens than the limit, before all of it is encoded."""
    if vocabulary.exceeds(text, limit):
        raise InputTooLong(f"input.text has more than {limit} tokens: expected at most {limit}", param="input.text")


def empty_input(field: str) -> InvalidRequest:
    """Return the error for an input without tokens."""
    return InvalidRequest(f"input.{field} has no token: expected at least one word", param=f"input.{field}")
