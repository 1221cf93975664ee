"""/: the console, pages for browsers. Its files are served below /console/."""

from fastapi import APIRouter, Request, Response
from starlette.responses import PlainTextResponse

from service.domain.errors import NotFound
from service.http.page_files import CONSOLE, PLOTLY, library_response

router = APIRouter(include_in_schema=False)

NOT_INSTALLED = (
    "The console needs plotly: pip install 'unroll[console]'. The API is at /v1, its documentation at /docs.\n"
)


@router.head("/")
@router.get("/")
async def console(request: Request) -> Response:
    """The page, or a line that says how to get it."""
    if PLOTLY is None:
        return PlainTextResponse(NOT_INSTALLED)
    return await CONSOLE.get_response("index.html", request.scope)


@router.head("/console/lib/plotly.min.js")
@router.get("/console/lib/plotly.min.js")
async def plotly(request: Request) -> Response:
    """The library that draws charts."""
    if PLOTLY is None:
        raise NotFound(NOT_INSTALLED.strip())
    return library_response(PLOTLY, request.scope)


@router.head("/console/{path:path}")
@router.get("/console/{path:path}")
async def static_file(path: str, request: Request) -> Response:
    """A file of the console."""
    return await CONSOLE.get_response(path, request.scope)
