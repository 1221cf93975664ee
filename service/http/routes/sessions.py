"""/v1/sessions: streams that continue."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response

from service.application.services import Services
from service.application.sessions.creation import Created
from service.application.sessions.serializers import StepResponse, encode
from service.application.sessions.step_item import Step
from service.http.dependencies import ContextDependency, ServicesDependency
from service.http.event_stream import EventStreamResponse, NativeEvents
from service.http.json_body import OCTETS, StrictRoute, octets
from service.http.json_response import JsonResponse, StepAnswer, StepAnswers
from service.http.schemas import errors, requests, resources, responses

router = APIRouter(prefix="/v1/sessions", tags=["sessions"], route_class=StrictRoute, responses=errors.SESSION_ERRORS)

Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", min_length=1, max_length=255, description="Repeat a request with it, safely"),
]


@router.post("", status_code=201, response_model=resources.Session, summary="Open a session")
async def create(
    body: requests.CreateSession, services: ServicesDependency, context: ContextDependency, key: Key = None
) -> Response:
    """A new session at state 0; with an Idempotency-Key, a repetition finds the same session."""
    return _created(services, await services.sessions.create(context, body.to_domain(), key))


@router.get("", response_model=resources.SessionList, summary="List your sessions")
async def list_sessions(
    services: ServicesDependency, context: ContextDependency, query: Annotated[requests.ListQuery, Query()]
) -> Response:
    """Live sessions, newest first. An administrator may list those of a tenant, or with `*` of all."""
    page = await services.sessions_of_tenants.list(context, query.tenant, query.model, query.limit, query.cursor)
    return JsonResponse(encode(page))


@router.post("/steps", response_model=responses.StepResults, summary="Advance many sessions")
async def step_many(body: requests.StepsBody, services: ServicesDependency, context: ContextDependency) -> Response:
    """Steps of many sessions in one request; each succeeds or fails for itself."""
    return StepAnswers(await services.steps.apply_all(context, [item.to_step() for item in body.steps]))


@router.post(
    "/import",
    status_code=201,
    response_model=resources.Session,
    openapi_extra={"requestBody": {"required": True, **responses.STATE_FILE}},
    summary="Open a session from an exported state",
)
async def import_session(
    content: Annotated[bytes, Depends(octets)],
    services: ServicesDependency,
    context: ContextDependency,
    query: Annotated[requests.ImportQuery, Query()],
    key: Key = None,
) -> Response:
    """A new session that stands where the exported one stood, on the version of its model that has its fingerprint.

    With an Idempotency-Key, a repetition finds the same session.
    """
    return _created(services, await services.transfers.import_state(context, query.to_domain(content), key))


@router.get("/{session_id}", response_model=resources.Session, summary="Describe a session")
async def get_session(
    session_id: str, services: ServicesDependency, context: ContextDependency, tenant: requests.TenantName = None
) -> Response:
    """Where the session stands; does not renew it. An administrator may read one of a tenant, or with `*` of any."""
    return JsonResponse(encode(await services.sessions_of_tenants.get(context, tenant, session_id)))


@router.patch("/{session_id}", response_model=resources.Session, summary="Renew a session")
async def patch_session(
    session_id: str, body: requests.PatchSession, services: ServicesDependency, context: ContextDependency
) -> Response:
    """A new time to live, counted from now."""
    return JsonResponse(encode(await services.sessions.renew(context, session_id, body.ttl_seconds)))


@router.delete("/{session_id}", status_code=204, summary="End a session")
async def delete_session(
    session_id: str, services: ServicesDependency, context: ContextDependency, tenant: requests.TenantName = None
) -> Response:
    """The session's state is dropped; further requests to it are answered 410.

    An administrator may end one of a tenant, or with `*` of any.
    """
    await services.sessions_of_tenants.end(context, tenant, session_id)
    return Response(status_code=204)


@router.post("/{session_id}/steps", response_model=responses.StepResult, summary="Advance a session")
async def step(
    session_id: str, body: requests.StepBody, services: ServicesDependency, context: ContextDependency, key: Key = None
) -> Response:
    """Feed the input, store the new state, then answer. With `step` or an Idempotency-Key it is safe to repeat."""
    return StepAnswer(await services.steps.apply(context, body.to_domain(session_id, key)))


# `name`: client generators make method names of the published operation ids, which therefore stay the same.
@router.post("/{session_id}/predict", response_model=responses.StepResult, summary="Look ahead", name="look")
async def peek(
    session_id: str, services: ServicesDependency, context: ContextDependency, body: requests.LookBody | None = None
) -> Response:
    """What a step would answer; the session stays where it is."""
    operation = (body or requests.LookBody()).to_domain()
    return StepAnswer(await services.steps.peek(context, Step(session_id, operation)))


@router.post(
    "/{session_id}/generate",
    response_model=responses.StepResult,
    responses=responses.TOKEN_EVENTS,
    summary="Continue a session's text",
)
async def generate(
    session_id: str,
    services: ServicesDependency,
    context: ContextDependency,
    body: requests.SessionGenerateBody | None = None,
    key: Key = None,
) -> Response:
    """Generate from the session's state; with `commit` it is one step of as many timesteps as tokens generated.

    With `stream`, the answer is Server-Sent Events; the step is applied when the event `done` comes.
    """
    body = body or requests.SessionGenerateBody()
    generation = Step(session_id, body.to_domain(), body.step, key)
    if body.options.stream:
        return EventStreamResponse(services.steps.stream(context, generation, commit=body.commit), NativeEvents())
    run = services.steps.apply if body.commit else services.steps.peek
    return StepAnswer(await run(context, generation))


@router.post("/{session_id}/reset", response_model=resources.Session, summary="Reset a session")
async def reset(
    session_id: str,
    services: ServicesDependency,
    context: ContextDependency,
    body: requests.ResetBody | None = None,
    key: Key = None,
) -> Response:
    """Back to state 0, or to a kept step, under the same id: a step of no timesteps, which an Idempotency-Key repeats.

    A translation's session keeps its source.
    """
    return StepAnswer(await services.steps.apply(context, (body or requests.ResetBody()).to_domain(session_id, key)))


@router.post("/{session_id}/fork", status_code=201, response_model=resources.Session, summary="Copy a session")
async def fork(
    session_id: str,
    services: ServicesDependency,
    context: ContextDependency,
    body: requests.ForkBody | None = None,
    key: Key = None,
) -> Response:
    """An independent session that stands where this one does, or where it stood at a kept step."""
    body = body or requests.ForkBody()
    return _created(services, await services.sessions.fork(context, session_id, body.step, body.ttl_seconds, key))


@router.get(
    "/{session_id}/state",
    response_class=Response,
    responses={200: {"description": "A safetensors file", **responses.STATE_FILE}},
    summary="Export a session's state",
)
async def export_state(session_id: str, services: ServicesDependency, context: ContextDependency) -> Response:
    """The session's state as safetensors, named as in its model's config.json; the session stays as it is.

    Metadata: model, version, task, fingerprint, dtype, step, timesteps, format_version.
    """
    exported = await services.transfers.export(context, session_id)
    response = Response(exported.content, media_type=OCTETS)
    name = f"{session_id}-step-{exported.step}.safetensors"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _created(services: Services, created: Created) -> Response:
    response = StepAnswer(StepResponse(encode(created.session), created.replayed))
    response.status_code = 201
    response.headers["Location"] = f"{services.root_path}/v1/sessions/{created.session['id']}"
    return response
