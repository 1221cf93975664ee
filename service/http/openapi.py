"""The OpenAPI document: `python -m service.http.openapi` prints it."""

import json
import sys

from service.http.app import create_api


def openapi_document() -> str:
    """Return the OpenAPI document, the content of docs/openapi.json."""
    return json.dumps(create_api().openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(openapi_document())
