"""What the service answers for the console: switched off, without its extra, on a full worker; and what is packaged."""

import re
import subprocess
import sys

import httpx
import pytest

from service.http.app import create_api
from service.http.middleware.admission_rules import is_exempt
from service.http.routes import console
from tests.server import ROOT, refusal

ASSETS = ROOT / "service" / "http" / "console"


async def get(path: str, *routers: str) -> httpx.Response:
    """Ask an application with some of the optional routers."""
    api = create_api(routers)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://test") as client:
        return await client.get(path)


async def test_the_console_can_be_switched_off() -> None:
    assert (await get("/", "console")).headers["content-type"].startswith("text/html")
    for path in ("/", "/console/js/main.js"):
        assert (await get(path)).status_code == 404


async def test_without_its_extra_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "PLOTLY", None)
    page = await get("/", "console")
    assert page.status_code == 200
    assert page.text.count("\n") == 1
    assert "pip install 'unroll[console]'" in page.text
    assert (await get("/console/lib/plotly.min.js", "console")).status_code == 404


def test_its_files_need_no_key_and_only_those_of_the_console_are_served(anonymous: httpx.Client) -> None:
    page = anonymous.get("/")
    assert page.status_code == 200
    for path in re.findall(r'(?:src|href)="(console/[^"]+)"', page.text):
        file = anonymous.get(f"/{path}")
        assert file.status_code == 200
        assert anonymous.get(f"/{path}", headers={"If-None-Match": file.headers["etag"]}).status_code == 304
    for path in ("/console/", "/console/js", "/console/..%2fpage_files.py", "/console/%00", "/console/lib/other.js"):
        refusal(anonymous.get(path), 404, "not_found")
    refusal(anonymous.post("/"), 405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/", "/console/js/main.js", "/console/lib/plotly.min.js", "/docs/swagger-ui.css"])
def test_pages_are_served_on_a_full_worker(path: str) -> None:
    assert is_exempt({"type": "http", "path": path})
    assert not is_exempt({"type": "http", "path": "/v1/models"})


def test_every_module_that_is_imported_exists_and_no_script_or_style_is_inline() -> None:
    for module in ASSETS.rglob("*.js"):
        for name in re.findall(r'(?:from|import)\s*\(?\s*"(\.[^"]+)"', module.read_text("utf-8")):
            assert (module.parent / name).is_file(), (module, name)
        assert "innerHTML" not in module.read_text("utf-8"), module
    page = (ASSETS / "index.html").read_text("utf-8")
    assert not re.search(r"<script(?! type=\"module\" src=)|<style| style=| on\w+=|https?://", page)


def test_the_wheel_has_all_files_of_the_console() -> None:
    # What setuptools would put into the wheel, without building one.
    script = (
        "from setuptools.dist import Distribution\n"
        "d = Distribution({'script_name': 'setup.py'}); d.parse_config_files(); d.set_defaults()\n"
        "b = d.get_command_obj('build_py'); b.include_package_data = False; b.ensure_finalized()\n"
        "for _, folder, _, names in b.data_files: [print(f'{folder}/{name}') for name in names]"
    )
    command = [sys.executable, "-W", "ignore", "-c", script]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    expected = {str(file.relative_to(ROOT)) for file in ASSETS.rglob("*") if file.is_file()}
    assert expected
    assert expected <= set(listed.stdout.split())
