"""Cost of operations on a translation model."""

from service.domain.cost import NUMBER_BYTES, TOKEN_BYTES, Cost
from service.domain.operations import Generate, OpenSession, Operation, Predict, PredictOptions, TextInput
from service.tasks.inputs import text_size
from service.tasks.limits import TextLimits

#: Characters after which a sentence may end.
SENTENCE_ENDS = ".!?\u2026\u3002\uff01\uff1f\n\r"
#: Target tokens that the search for the rest of a session's sentence takes, unless the request says how many.
REST_TOKENS = 64
#: Characters of a token, on the low side. The tokens of an answer share their texts, so that an estimate is enough.
CHARACTERS_PER_TOKEN = 3
#: Next words that a session's step searches for beside those it lists.
EXTRA_WORDS = 4


def translation_cost(operation: Operation, limits: TextLimits, state_bytes: int, *, in_session: bool) -> Cost:
    """Return the cost of an operation. One that the model rejects may have any cost."""
    text_input = operation.input if isinstance(operation.input, TextInput) else None
    tokens = 0 if text_input is None else min(text_size(text_input), limits.input_tokens)
    options = _search_options(operation)
    if options is not None:
        max_tokens = _max_tokens(options, limits)
        if in_session:
            return _step_cost(tokens, max_tokens, options, state_bytes)
        text = text_input.text if text_input is not None else None
        return _text_cost(text or "", tokens, max_tokens, options, state_bytes)
    if isinstance(operation, OpenSession) and operation.input is None:
        tokens = min(limits.sentence_tokens, limits.input_tokens)  # the session's own source
    return _sentence_cost(tokens, text_input, limits, state_bytes)


def _sentence_cost(tokens: int, text_input: TextInput | None, limits: TextLimits, state_bytes: int) -> Cost:
    """Return the cost of reading a source of so many tokens, and of scoring the target if there is one."""
    text = "" if text_input is None or not isinstance(text_input.target, str) else text_input.target
    target = min(len(text), limits.generated_tokens)
    timesteps = tokens + target
    return Cost(timesteps, 3 * target, state_bytes + (TOKEN_BYTES + NUMBER_BYTES) * timesteps)


def _search_options(operation: Operation) -> PredictOptions | None:
    """Return the options of an operation that searches for a translation, None for another."""
    if isinstance(operation, Generate):
        return PredictOptions(max_tokens=operation.options.max_tokens)
    return operation.options if isinstance(operation, Predict) else None


def _max_tokens(options: PredictOptions, limits: TextLimits) -> int | None:
    return None if options.max_tokens is None else min(options.max_tokens, limits.generated_tokens)


def _text_cost(text: str, tokens: int, max_tokens: int | None, options: PredictOptions, state_bytes: int) -> Cost:
    sentences = 1 + min(tokens, sum(map(text.count, SENTENCE_ENDS)))
    targets = 2 * tokens + 10 * sentences if max_tokens is None else max_tokens * sentences
    results = 1 + options.alternatives
    numbers = results * (tokens + sentences + targets) // CHARACTERS_PER_TOKEN
    weights = results * tokens * targets if options.attention else 0
    memory = NUMBER_BYTES * (numbers + weights) + TOKEN_BYTES * tokens + 2 * options.beam_size * state_bytes
    return Cost(tokens + sentences + options.beam_size * targets, numbers + weights, memory)


def _step_cost(tokens: int, max_tokens: int | None, options: PredictOptions, state_bytes: int) -> Cost:
    targets = max_tokens or REST_TOKENS
    breadth = options.beam_size + options.top_k + EXTRA_WORDS
    return Cost(tokens + breadth * targets, targets + 2 * options.top_k, TOKEN_BYTES * tokens + breadth * state_bytes)
