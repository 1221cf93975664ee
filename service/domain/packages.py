"""Packages of extras, which a setting can ask for and an installation can lack."""

import importlib.util
from collections.abc import Iterable

from service.domain.errors import SettingsError


def require_packages(packages: Iterable[str], extra: str, setting: str, value: object, otherwise: str) -> None:
    """Raise SettingsError if a package of an extra is missing that a setting with this value needs.

    `otherwise` is what would need none of them.
    """
    for package in packages:
        if not _is_installed(package):
            raise SettingsError(
                f"{setting} is {value}, and the package {package} is not installed: expected the extra `{extra}`, as "
                f"in `pip install 'unroll[{extra}]'`, or {otherwise}"
            )


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # a package around it is missing
        return False
