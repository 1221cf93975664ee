"""Options of a prediction, as the parameters of a request have them."""

from typing import Any

from pydantic import ValidationError

from service.domain.operations import PredictOptions
from service.http.json_body import invalid_request
from service.http.schemas.options import Options


def read_options(options: dict[str, Any]) -> PredictOptions:
    """Return the options of a prediction, given their values by name. Raises InvalidRequest."""
    try:
        return Options.model_validate(options).to_domain()
    except ValidationError as error:
        raise invalid_request(error) from None
