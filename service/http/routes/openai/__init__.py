"""/v1/completions: the completions of the OpenAI API on next-word models."""

from service.http.routes.openai import completions

#: The routers of the protocol.
ROUTERS = (completions.router,)
