"""Alignment of tokens with the text that they were decoded to."""

from collections.abc import Sequence

from service.domain.operations import GeneratedToken

#: Marks of the first part of a word, in SentencePiece and GPT-2, which stand for a space.
WORD_MARKS = "\u2581\u0120 "


def align_tokens(text: str, tokens: Sequence[str], logprobs: Sequence[float]) -> list[GeneratedToken]:
    """Return tokens with the pieces of `text` that end with them. Text in which no token is found follows later."""
    start, aligned = 0, []
    for index, (token, logprob) in enumerate(zip(tokens, logprobs, strict=True)):
        word = token.lstrip(WORD_MARKS)
        found = text.find(word, start)
        end = len(text) if index == len(tokens) - 1 else start if found < 0 else found + len(word)
        aligned.append(GeneratedToken(token, text[start:end], logprob))
        start = end
    return aligned
