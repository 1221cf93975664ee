"""Names of test cases: the same in every process and on every processor."""

import json
from inspect import isfunction


def case_id(parameter: object) -> str:
    """Return the name of a function, the JSON of settings, and nothing of a computed number."""
    if isinstance(parameter, float):
        return ""
    return parameter.__name__ if isfunction(parameter) else json.dumps(parameter)
