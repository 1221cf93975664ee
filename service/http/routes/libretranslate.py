"""/translate, /languages and /detect: LibreTranslate on the translation models."""

from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from service.application.languages import Translators
from service.application.sessions.serializers import encode
from service.domain.errors import InvalidRequest, UnsupportedMediaType
from service.domain.operations import Json
from service.domain.runtime.fair_thread import run_sized
from service.http.body_sizes import SizeLimits, check_sizes
from service.http.dependencies import ContextDependency, ServicesDependency
from service.http.json_body import invalid_request, parse_body
from service.http.json_response import JsonResponse
from service.http.language_names import language_name
from service.http.schemas import libretranslate as schemas

router = APIRouter(tags=["libretranslate"], responses=schemas.ERRORS)

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
#: Fields of a form, a text in each.
MAX_FORM_FIELDS = schemas.MAX_TEXTS + 16
_BODY_SCHEMA = {"schema": schemas.TranslateBody.model_json_schema()}
BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {JSON: _BODY_SCHEMA, FORM: _BODY_SCHEMA}}}


@router.post("/translate", response_model=schemas.Translation, summary="Translate", openapi_extra=BODY)
async def translate(request: Request, services: ServicesDependency, context: ContextDependency) -> Response:
    """The translation of a text, or of each of several, in JSON or in a form."""
    content, media_type = await request.body(), _media_type(request)
    read = partial(_read_body, content, media_type, request.state.size_limits)
    body = await run_sized(context.cost.client, len(content), read)
    model = Translators(services.models.seen_by(context).all()).find(body.source, body.target)
    outputs: list[Any] = []
    if operations := body.operations():
        answer: Any = await services.predictions.predict_many(context, model.name, model.version, [*operations])
        outputs = answer["outputs"]
    return JsonResponse(encode(_answer(body, outputs)))


@router.get("/languages", response_model=list[schemas.Language], summary="List the languages")
async def languages(services: ServicesDependency, context: ContextDependency) -> Response:
    """The languages of the translation models, and those that each can be translated to."""
    known = Translators(services.models.seen_by(context).all()).languages()
    return JsonResponse(
        encode([{"code": code, "name": language_name(code), "targets": [*targets]} for code, targets in known.items()])
    )


@router.post("/detect", summary="Not supported", response_class=Response)
async def detect() -> Response:
    """Always refused, since no model detects languages."""
    raise InvalidRequest("detect is not supported, since no model here detects languages: name the source language")


def _media_type(request: Request) -> str:
    content_type: str | None = request.headers.get("content-type")
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type not in {JSON, FORM}:
        found = "missing" if content_type is None else repr(media_type[:100])
        raise UnsupportedMediaType(f"Content-Type is {found}: expected {JSON} or {FORM}")
    return media_type


def _read_body(content: bytes, media_type: str, limits: SizeLimits) -> schemas.TranslateBody:
    """Parse and validate a body. Raises InvalidJson, InvalidRequest, InputTooLong."""
    if media_type == FORM:
        fields: Any = _read_form(content)
        check_sizes(fields, limits)
    else:
        fields = parse_body(content, limits)
    try:
        return schemas.TranslateBody.model_validate(fields)
    except ValidationError as error:
        raise invalid_request(error) from None


def _read_form(content: bytes) -> dict[str, Any]:
    """Return the fields of a form; `q` may stand there several times. Raises InvalidRequest."""
    try:
        pairs = parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS, errors="strict")
    except ValueError as error:
        raise InvalidRequest(f"the form cannot be read ({error}): expected fields in UTF-8") from None
    texts = [value for name, value in pairs if name == "q"]
    fields: dict[str, Any] = dict(pairs)
    if texts:
        fields["q"] = texts[0] if len(texts) == 1 else texts
    if fields.get("alternatives", "").isdecimal():
        fields["alternatives"] = int(fields["alternatives"][:9])
    return fields


def _answer(body: schemas.TranslateBody, outputs: list[Any]) -> dict[str, Json]:
    """Return the answer of translations; a text with nothing to translate is its own."""
    results = iter(outputs)
    found = [[text] if schemas.is_blank(text) else _texts(next(results)) for text in body.texts]
    translated: list[Json] = [texts[0] for texts in found]
    alternatives: list[Json] = [[*texts[1:]] for texts in found]
    several = not isinstance(body.q, str)
    answer: dict[str, Json] = {"translatedText": translated if several else translated[0]}
    return answer | {"alternatives": alternatives if several else alternatives[0]} if body.alternatives else answer


def _texts(output: Any) -> list[str]:  # noqa: ANN401 - the output of a translation
    return [translation["text"] for translation in output["translations"]]
