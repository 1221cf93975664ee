"""POST /v1/completions. `GET /v1/models` of the native API is what OpenAI's clients expect, too."""

import re
from typing import Any

from fastapi import APIRouter, Response
from starlette.types import Receive, Scope, Send

from service.application.sessions.serializers import encode
from service.domain.errors import UnrollError
from service.http.dependencies import ContextDependency, ServicesDependency
from service.http.event_stream import EventStreamResponse
from service.http.json_body import StrictRoute
from service.http.json_response import JsonResponse
from service.http.routes.openai.answers import CompletionAnswer, CompletionEvents
from service.http.schemas import errors, openai, responses

router = APIRouter(prefix="/v1", tags=["openai"], route_class=StrictRoute, responses=errors.ERRORS)

#: The name of an input of a generation, with its index if there are several.
INPUT = re.compile(r"inputs\[(\d+)\](?:\.(?:text|ids))?")


class CompletionStreamResponse(EventStreamResponse[dict[str, Any]]):
    """Stream of a completion. Errors before its start name the fields of the request."""

    def __init__(self, body: openai.CompletionBody, *arguments: Any) -> None:  # noqa: ANN401 - those of its base
        super().__init__(*arguments)
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except UnrollError as error:
            raise _name_fields(error, self._body) from error.__cause__


@router.post(
    "/completions",
    response_model=openai.Completion,
    responses=responses.TOKEN_EVENTS,
    summary="Complete prompts, as OpenAI's clients ask",
)
async def complete(body: openai.CompletionBody, services: ServicesDependency, context: ContextDependency) -> Response:
    """Continuations of prompts by a next-word model.

    With `stream`, the answer is events of chunks with `[DONE]` at the end; one with `error` if it fails midway.
    """
    answer = CompletionAnswer(body, services.clock.now() // 1000)
    generations = body.generations()
    if body.stream:
        stream = services.predictions.stream_many(context, body.model, None, generations)
        return CompletionStreamResponse(body, stream, CompletionEvents(answer))
    try:
        outputs = await services.predictions.predict_many(context, body.model, None, generations)
    except UnrollError as error:
        raise _name_fields(error, body) from error.__cause__
    return JsonResponse(encode(answer.completion(outputs)))


def _name_fields(error: UnrollError, body: openai.CompletionBody) -> UnrollError:
    """Return an error of a generation that names the fields of the request for completions."""
    if error.param is None:
        return error
    if error.param.endswith("].vector"):
        why = f"model is {body.model!r}, whose texts begin with a vector, which no field here holds"
        return error.with_message(f"{why}: expected POST /v1/models/{body.model}/generate", "model")

    def rename(text: str) -> str:
        text = INPUT.sub(lambda match: _prompt_name(int(match[1]), body), text)
        return text.removeprefix("options.")

    return error.with_message(rename(error.message), rename(error.param))


def _prompt_name(generation: int, body: openai.CompletionBody) -> str:
    return "prompt" if len(body.prompt) == 1 else f"prompt[{generation // body.candidates}]"
