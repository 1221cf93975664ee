"""The tokenizer.json of a fitted vocabulary."""

import string
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from service.tooling.preprocessing.vocabularies.fitting import Fitted
from service.tooling.preprocessing.vocabularies.word_list import SPECIAL_TOKENS, build_word_tokenizer
from service.tooling.preprocessing.vocabularies.words import Words

#: Any character, line ends included.
CHARACTER = r"[\s\S]"
#: How subword-nmt marks a piece that the word goes on behind.
CONTINUED = "@@"


def write_tokenizer(path: Path, fitted: Fitted) -> None:
    """Write the tokenizer of a vocabulary."""
    make_tokenizer(fitted).save(str(path))


def make_tokenizer(fitted: Fitted) -> Tokenizer:
    """Return the tokenizer of a vocabulary."""
    tokenizer = _word_level(fitted)
    special = {*fitted.roles.values(), *(entry for entry in fitted.entries if entry in SPECIAL_TOKENS)}
    # In the order of the ids; the roles can be others than those whose names are usual.
    tokenizer.add_special_tokens(
        [entry for entry in fitted.entries if entry in special or entry.startswith("<unused ")]
    )
    return tokenizer


def _word_level(fitted: Fitted) -> Tokenizer:
    """Return a word-level tokenizer that cuts text as the vocabulary's library does."""
    words, entries = fitted.words, [*fitted.entries]
    if words.splitting == "words":
        tokenizer = build_word_tokenizer(entries, fitted.roles.get("unknown", ""))
        if words.lower:
            tokenizer.normalizer = normalizers.Sequence([tokenizer.normalizer, normalizers.Lowercase()])
        return tokenizer
    ids = {entry: index for index, entry in enumerate(entries)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=fitted.roles.get("unknown", "")))
    steps: list[normalizers.Normalizer] = _lowering(words) if words.lower else []
    if words.filters:
        steps.append(_without(words.filters, words.filtered))
    tokenizer.normalizer = normalizers.Sequence(steps)
    if words.splitting == "characters":
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(CHARACTER), "isolated")
        tokenizer.decoder = decoders.Fuse()
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        joined = [decoders.WordPiece(prefix="\u0000", cleanup=False), decoders.Fuse()]
        tokenizer.decoder = decoders.Sequence([*joined, decoders.Replace(f"{CONTINUED} ", "")])
    return tokenizer


def _lowering(words: Words) -> list[normalizers.Normalizer]:
    """Return the normalizers that make letters small: all of them, or those of ASCII."""
    if not words.ascii_only:
        return [normalizers.Lowercase()]
    return [normalizers.Replace(letter, letter.lower()) for letter in string.ascii_uppercase]


def _without(characters: str, replacement: str) -> normalizers.Normalizer:
    """Return a normalizer that replaces each of the characters."""
    return normalizers.Replace(Regex(f"[{''.join(_escaped(character) for character in characters)}]"), replacement)


def _escaped(character: str) -> str:
    return character if character.isalnum() or character.isspace() else f"\\{character}"
