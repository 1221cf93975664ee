"""/v2: the Open Inference Protocol, as clients of KServe and of Triton speak it."""

from service.http.routes.open_inference import generate, health, infer, metadata, repository

#: The routers of the protocol, one for each module.
ROUTERS = (health.router, metadata.router, infer.router, generate.router, repository.router)
