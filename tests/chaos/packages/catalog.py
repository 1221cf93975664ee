"""The clients of each package."""

from tests.chaos.packages.completions import CompletionClient
from tests.chaos.packages.inference import InferenceClient
from tests.chaos.packages.python_client import PythonClient

PackageClient = PythonClient | InferenceClient | CompletionClient
PACKAGES: dict[str, type[PackageClient]] = {
    "python": PythonClient,
    "python-async": PythonClient,
    "tritonclient": InferenceClient,
    "openai": CompletionClient,
}
