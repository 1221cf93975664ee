"""Prints the OpenAPI contract: `python -m service.http.openapi`."""

import json
import sys

from service.http.app import create_api


def openapi_document() -> str:
    """Return the contract as docs/openapi.json holds it."""
    return json.dumps(create_api().openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(openapi_document())
