"""Parsing of YAML from others: no anchors, and bounded depth and size."""

import yaml

#: Levels of nested lists and mappings, and by default tokens of all.
MAX_DEPTH = 16
MAX_TOKENS = 10_000
#: What is raised for broken YAML: PyYAML lets pass what the constructors of numbers and dates raise.
BROKEN = (yaml.YAMLError, ValueError, ArithmeticError, RecursionError, TypeError)

_OPENING = (
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)


def parse_yaml(text: str, max_tokens: int = MAX_TOKENS) -> object:
    """Return the value of a YAML text. Raises one of BROKEN."""
    _check_tokens(text, max_tokens)
    value: object = yaml.safe_load(text)
    return value


def _check_tokens(text: str, max_tokens: int) -> None:
    """Raise ValueError for aliases, with which a short text can be an endless value, and for too much of anything."""
    depth = 0
    for count, token in enumerate(yaml.scan(text, yaml.SafeLoader)):
        if isinstance(token, yaml.AnchorToken | yaml.AliasToken):
            raise ValueError("anchors and aliases, which are not read")
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} levels")
        if count > max_tokens:
            raise ValueError(f"more than {max_tokens} tokens")
