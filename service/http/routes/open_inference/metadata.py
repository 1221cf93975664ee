"""/v2: metadata of the server and of models."""

from fastapi import APIRouter, Response

from service import __version__
from service.application.sessions.serializers import encode
from service.http.json_response import JsonResponse
from service.http.schemas import open_inference as schemas

#: Extensions of the protocol that are served.
EXTENSIONS = ("parameters",)

router = APIRouter(prefix="/v2", tags=["open inference protocol"], responses=schemas.ERRORS)


@router.get("", response_model=schemas.ServerMetadata, summary="Describe the server")
async def server_metadata() -> Response:
    """Name and release of the server, and the extensions of the protocol that it serves."""
    return JsonResponse(encode({"name": "unroll", "version": __version__, "extensions": [*EXTENSIONS]}))
