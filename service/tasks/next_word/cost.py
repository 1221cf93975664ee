"""Cost of operations on a language model."""

from service.domain.cost import NUMBER_BYTES, TOKEN_BYTES, Cost
from service.domain.operations import Generate, Infer, Operation, Predict, Score, TextInput
from service.tasks.inputs import text_size
from service.tasks.limits import TextLimits
from service.tasks.next_word.tensors import LOGITS

#: Bytes of a logit of an answer: as a number, as text, and in the response.
LOGIT_BYTES = 16


def next_word_cost(
    operation: Operation, limits: TextLimits, state_bytes: int, vocabulary: int = 0, rows_per_token: int = 1
) -> Cost:
    """Return the cost of an operation. One that the model rejects may have any cost.

    `vocabulary` is the number of logits of an answer that has them, `rows_per_token` that of the rows of a window.
    """
    text_input = operation.input
    tokens = min(text_size(text_input), limits.input_tokens) if isinstance(text_input, TextInput) else 0
    memory = state_bytes + TOKEN_BYTES * tokens
    if isinstance(operation, Score):
        return Cost(rows_per_token * tokens, 3 * tokens, memory + 2 * NUMBER_BYTES * tokens)
    if not isinstance(operation, Generate):
        top_k = operation.options.top_k if isinstance(operation, Predict) else 0
        logits = vocabulary if isinstance(operation, Infer) and LOGITS in operation.outputs else 0
        return Cost(rows_per_token * tokens, 3 * top_k + tokens + logits, memory + LOGIT_BYTES * logits)
    generated = min(operation.options.max_tokens, limits.generated_tokens)
    # With stop texts, the state after each token is kept.
    states = generated * state_bytes if operation.options.stop else 0
    alternatives = (1 + (operation.options.logprobs or 0)) * generated
    numbers = 3 * alternatives + (2 * tokens if operation.options.echo else 0)
    rows = rows_per_token * (tokens + generated)
    return Cost(rows, numbers, memory + states + (TOKEN_BYTES + NUMBER_BYTES) * alternatives)
