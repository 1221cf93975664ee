"""Checks of the model folders: each version is loaded as a worker does, with its golden vectors."""

from collections.abc import Iterator

from service.deployment.finding import Finding
from service.domain.errors import ModelFolderError, SettingsError, UnrollError
from service.settings import Settings
from service.tasks.architectures import version_folders
from service.tooling.verify.verifier import verify


def check_models(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each model version of the folder."""
    try:
        folders = version_folders(settings.models)
    except ModelFolderError as error:
        yield Finding.error("models", str(error))
        return
    if not folders:
        yield Finding.error("models", f"{settings.models} holds no model: expected MODEL/VERSION/ with config.json")
    for folder in folders:
        name = f"{folder.parent.name} {folder.name}"
        try:
            found = verify(folder, settings.dtype_of(folder.parent.name), device=settings.device)
        except (ModelFolderError, SettingsError, UnrollError, OSError) as error:
            yield Finding.error("models", f"{name} is refused: {error}")
            continue
        facts = f"{name}: {found.task}, {found.state_bytes:,} bytes of state"
        if found.verified:
            yield Finding.ok("models", f"{facts}, verified by golden vectors")
        else:
            yield Finding.warning("models", f"{facts}, not verified: found no golden.safetensors, expected one")
