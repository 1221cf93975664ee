"""Files that pages in a browser load: those of the console, and those that packages carry."""

from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from mimetypes import guess_type
from pathlib import Path
from typing import Final

from fastapi import Response
from starlette.datastructures import Headers
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

from service.http.middleware.response_headers import ResponseHeaders, with_policy

#: The files of the console, below the path /console/.
CONSOLE: Final = StaticFiles(directory=Path(__file__).parent / "console")

#: The hash of an empty style sheet: plotly.js adds one to the page, and then rules by script.
_EMPTY_STYLE = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
_POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' {_EMPTY_STYLE}; style-src-attr 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
#: A browser asks each time whether a file has changed, and is answered 304 if it has not.
REVALIDATED: Final = b"no-cache"
CONSOLE_HEADERS: Final[ResponseHeaders] = with_policy(_POLICY.encode(), REVALIDATED)


def package_file(package: str, *path: str) -> Path | None:
    """Return the path of a file that an installed package carries, without importing it; None if there is none."""
    spec = find_spec(package)
    folders = (spec and spec.submodule_search_locations) or ()
    return next((file for folder in folders if (file := Path(folder).joinpath(*path)).is_file()), None)


@cache
def _read(path: Path) -> tuple[bytes, str]:
    """Return what a file holds and its ETag."""
    content = path.read_bytes()
    return content, f'"{blake2b(content, digest_size=16).hexdigest()}"'


def library_response(path: Path, scope: Scope) -> Response:
    """Return a file that a package carries, or 304 if the client says that it has this one.

    The file is read once. To hold it open while a client reads slowly would take a second one of the open files that
    bound the number of connections.
    """
    content, etag = _read(path)
    known = Headers(scope=scope).get("if-none-match", "")
    if etag in {tag.strip().removeprefix("W/") for tag in known.split(",")}:
        return NotModifiedResponse(Headers({"etag": etag}))
    return Response(content, media_type=guess_type(path.name)[0], headers={"etag": etag})


#: plotly.js, which draws the charts; None without the extra `console`.
PLOTLY: Final = package_file("plotly", "package_data", "plotly.min.js")
#: Swagger UI, which shows the OpenAPI document at /docs.
SWAGGER: Final[Mapping[str, Path | None]] = {
    name: package_file("fastapi_offline", "static", name) for name in ("swagger-ui-bundle.js", "swagger-ui.css")
}
