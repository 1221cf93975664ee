"""Tokens of a generation that are handed out while it runs, against its outcome."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from service.domain.operations import GeneratedToken, GenerateOptions, Outcome
from service.tasks.next_word.generation import GenerateOperation
from service.tasks.next_word.operations import TokenOutput
from service.tasks.vocabulary import EncodedText, Vocabulary

END = 0


def word_vocabulary() -> Vocabulary:
    words = ["</s>", "<unk>", "I", "am", "going", "home", ".", ",", "\n", "a.b", "é"]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    return Vocabulary(tokenizer, ["</s>", "<unk>"], "<unk>")


def byte_vocabulary() -> Vocabulary:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("a", "b"), ("c", "d"), ("ab", "cd"), ("Ġ", "a"), ("Ã", "©")]
    entries = ["</s>", *alphabet, *(left + right for left, right in merges)]
    model = models.BPE({entry: index for index, entry in enumerate(entries)}, merges)
    tokenizer = Tokenizer(model)
    tokenizer.decoder = decoders.ByteLevel()
    return Vocabulary(tokenizer, ["</s>"])


def subword_vocabulary() -> Vocabulary:
    entries = ["</s>", "[UNK]", "go", "##ing", "home", ".", "##s", "do", "n't"]
    model = models.WordPiece({entry: index for index, entry in enumerate(entries)}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.decoder = decoders.WordPiece()
    return Vocabulary(tokenizer, ["</s>", "[UNK]"], "[UNK]")


def metaspace_vocabulary() -> Vocabulary:
    entries = ["</s>", "<unk>", "▁I", "▁go", "ing", "▁", "home", ".", "▁."]
    model = models.BPE({entry: index for index, entry in enumerate(entries)}, [], unk_token="<unk>")
    tokenizer = Tokenizer(model)
    tokenizer.decoder = decoders.Metaspace()
    return Vocabulary(tokenizer, ["</s>", "<unk>"], "<unk>")


VOCABULARIES = [word_vocabulary(), byte_vocabulary(), subword_vocabulary(), metaspace_vocabulary()]
WORDS, BYTES, *_ = VOCABULARIES


def streamed(
    vocabulary: Vocabulary, chosen: Sequence[int], stop: Sequence[str] = ()
) -> tuple[list[list[GeneratedToken]], Outcome]:
    """Run a generation that chooses these tokens; return what each pass hands out, and the outcome."""
    options = GenerateOptions(max_tokens=len(chosen), stop=tuple(stop))
    operation = GenerateOperation(EncodedText([], [], []), np.zeros(1, np.float32), vocabulary, options, END)
    logits = np.linspace(-1, 0, vocabulary.size, dtype=np.float32)
    remaining, passes = list(chosen), []
    while not operation.finished:
        fed = operation.next_ids(1)
        sampler = operation.requested_sampler(len(fed))
        index = None if sampler is None else remaining.pop(0)
        operation.update(TokenOutput(np.zeros(1, np.float32), logits, 1.0, [0.0] * len(fed), None, index))
        passes.append(operation.new_tokens())
    return passes, operation.outcome(b"")


def ids(vocabulary: Vocabulary, *tokens: str) -> list[int]:
    return [index for token in tokens if (index := vocabulary.token_to_id(token)) is not None]


def texts(passes: list[list[GeneratedToken]]) -> list[str]:
    return [token.text for tokens in passes for token in tokens]


def test_a_token_is_handed_out_by_the_pass_that_chooses_it() -> None:
    passes, _ = streamed(WORDS, ids(WORDS, "I", "am", "home"))
    assert [[token.text for token in tokens] for tokens in passes] == [["I"], [" am"], [" home"], []]


def test_a_token_that_may_become_a_stop_text_is_held_back_until_it_does_not() -> None:
    passes, _ = streamed(WORDS, ids(WORDS, "I", "am", "going", "home"), ["am home"])
    assert [[token.text for token in tokens] for tokens in passes] == [[], [], ["I", " am"], [" going"], [" home"]]


def test_tokens_of_a_stop_text_are_never_handed_out() -> None:
    passes, outcome = streamed(WORDS, ids(WORDS, "I", "am", "going", "home"), ["am going"])
    assert texts(passes) == ["I"]
    assert outcome.output["text"] == "I"


def test_what_a_word_has_before_a_stop_text_is_handed_out_with_the_word_in_front() -> None:
    passes, outcome = streamed(WORDS, ids(WORDS, "I", "am", "going", "home"), ["ing"])
    assert texts(passes) == ["I", " am go"]
    assert outcome.output["tokens"] == ["I", "am"]


def test_what_the_first_word_has_before_a_stop_text_is_handed_out_without_a_token() -> None:
    passes, outcome = streamed(WORDS, ids(WORDS, "going", "home"), ["ing"])
    assert [token for tokens in passes for token in tokens] == [GeneratedToken("", "go", 0.0)]
    assert (outcome.output["text"], outcome.output["tokens"]) == ("go", [])


def test_a_character_is_handed_out_when_its_bytes_are_complete() -> None:
    passes, outcome = streamed(BYTES, ids(BYTES, "a", "Ã", "©", "b"))
    assert [[token.text for token in tokens] for tokens in passes] == [["a"], [], ["é", ""], ["b"], []]
    assert outcome.output["text"] == "aéb"


def test_a_character_that_is_never_complete_is_handed_out_at_the_end() -> None:
    passes, outcome = streamed(BYTES, ids(BYTES, "a", "Ã"))
    assert texts(passes) == ["a", "\ufffd"]
    assert outcome.output["text"] == "a\ufffd"


@pytest.mark.parametrize("vocabulary", VOCABULARIES, ids=["words", "bytes", "subwords", "metaspace"])
@pytest.mark.parametrize("with_stop", [False, True])
def test_what_is_handed_out_is_the_outcome(vocabulary: Vocabulary, with_stop: bool) -> None:
    source = random.Random(1)
    for _ in range(1500):
        # Few different tokens, so that stop texts occur.
        alphabet = source.sample(range(vocabulary.size), 4)
        chosen = source.choices(alphabet, k=source.randint(1, 12))
        text = vocabulary.decode(source.choices(alphabet, k=6))
        cuts = [sorted(source.choices(range(len(text) + 1), k=2)) for _ in range(3)] if with_stop else []
        passes, outcome = streamed(vocabulary, chosen, [text[a:b] for a, b in cuts if a < b])
        tokens = [token for tokens in passes for token in tokens]
        case = (chosen, [text[a:b] for a, b in cuts], passes, outcome.output)
        assert "".join(token.text for token in tokens) == outcome.output["text"], case
        assert [token.token for token in tokens if token.token or outcome.generated] == outcome.output["tokens"], case
        if outcome.generated:
            assert [token.logprob for token in tokens] == outcome.output["logprobs"], case
