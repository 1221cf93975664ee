"""The clients of each package."""

from tests.chaos.packages.completions import CompletionClient
from tests.chaos.packages.grpc_inference import GrpcClient, StreamClient
from tests.chaos.packages.inference import InferenceClient
from tests.chaos.packages.python_client import PythonClient
from tests.chaos.packages.sequences import SequenceClient

PackageClient = PythonClient | SequenceClient | CompletionClient
PACKAGES: dict[str, type[PackageClient]] = {
    "python": PythonClient,
    "python-async": PythonClient,
    "tritonclient": InferenceClient,
    "tritonclient-grpc": GrpcClient,
    "tritonclient-stream": StreamClient,
    "openai": CompletionClient,
}
