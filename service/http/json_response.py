"""Responses whose body is JSON that is encoded already."""

from starlette.responses import Response


class JsonResponse(Response):
    """A response with a JSON body. It skips what Starlette's does to find out the headers."""

    media_type = "application/json"

    def __init__(self, body: bytes, status_code: int = 200) -> None:
        self.status_code = status_code
        self.body = body
        self.background = None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
