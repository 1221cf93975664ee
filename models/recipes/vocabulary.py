"""The vocabulary and the tokenizer of the next-word model.

Each word has one entry for all cases, spelled as it is usually written inside a sentence ("Tom", "I'm", "the"), so that
predictions read well. The server matches typed words in any case.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

from tokenizers import Tokenizer

from models.recipes.corpus import words
from service.tooling.preprocessing.vocabularies.word_list import UNKNOWN, build_word_tokenizer

BOUNDARY = "<s>"
SENTENCE_END = frozenset('.!?:;"')


def spellings(texts: Iterable[str]) -> dict[str, str]:
    """Map each lower-cased word of `texts` to its most frequent spelling inside sentences, else to itself."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for text in texts:
        previous = "."
        for word in words(text):
            if previous not in SENTENCE_END:
                seen[word.lower()][word] += 1
            previous = word
    return {lower: counts.most_common(1)[0][0] for lower, counts in seen.items()}


def choose_words(everyday: Iterable[str], books: Iterable[str], size: int) -> list[str]:
    """Return the `size` words to know, lower-cased: everyday words seen twice, then the most frequent of the books."""
    common = Counter(word.lower() for text in everyday for word in words(text))
    other = Counter(word.lower() for text in books for word in words(text))
    chosen = [word for word, count in common.most_common(size) if count >= 2]
    known = set(chosen)
    chosen += [word for word, _ in other.most_common() if word not in known]
    return chosen[:size]


def build_tokenizer(everyday: list[str], books: list[str], size: int) -> Tokenizer:
    """Return a word-level tokenizer of `size` entries, including special tokens, which also joins words to text."""
    shown = spellings(books) | spellings(everyday)
    entries = [UNKNOWN, BOUNDARY, *(shown.get(word, word) for word in choose_words(everyday, books, size - 2))]
    return build_word_tokenizer(entries, UNKNOWN)


def encoder(tokenizer: Tokenizer) -> dict[str, int]:
    """Return the lower-cased words of `tokenizer` with their ids, for encoding text in any case."""
    return {entry.lower(): index for entry, index in tokenizer.get_vocab().items()}
