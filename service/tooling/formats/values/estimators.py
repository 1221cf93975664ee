"""Models and preprocessing of libraries without recurrent networks, told by the classes that their pickles name."""

import re
from collections.abc import Iterable

_LIBRARIES = {
    "sklearn": "scikit-learn",
    "xgboost": "XGBoost",
    "lightgbm": "LightGBM",
    "catboost": "CatBoost",
    "statsmodels": "statsmodels",
}
#: Packages of scikit-learn whose classes prepare the inputs of a model.
_PREPARING = ("preprocessing", "pipeline", "compose", "impute", "base", "utils")
#: What is expected in the place of a file of joblib.
FROM_JOBLIB = (
    "arrays by name as numpy writes them: where the training ran, "
    """`python -c 'import joblib, numpy; numpy.savez("net.npz", **joblib.load("FILE"))'`"""
)
#: A class in the bytes of a pickle: its module, then its name as another text or another line.
_CLASS = re.compile(
    rf"\b((?:{'|'.join(_LIBRARIES)})(?:\.\w{{1,60}}){{0,8}})(?:\n|\x94?\x8c.)(\w{{1,60}})".encode("latin-1"), re.DOTALL
)


def is_estimator(name: str) -> bool:
    """Return whether a class is one of such a library."""
    return name.partition(".")[0] in _LIBRARIES


def classes_in(content: bytes) -> list[str]:
    """Return the classes of such libraries that the bytes of a pickle name, also of one that cannot be read whole."""
    return [f"{match[1].decode()}.{match[2].decode('latin-1')}" for match in _CLASS.finditer(content)]


def describe_estimator(classes: Iterable[str]) -> tuple[str, str] | None:
    """Return what a file without a network is that names these classes, and what is expected; None for other files."""
    names = [name for name in classes if is_estimator(name)]
    models = [name for name in names if name.split(".")[1] not in _PREPARING]
    if models:
        library, short = _LIBRARIES[models[0].partition(".")[0]], models[0].rpartition(".")[2]
        return (
            f"a model of {library} ({short}), which is no recurrent network and not served here",
            f"the file of a recurrent network; servers of {library} models, such as MLServer, serve this one",
        )
    if names:
        return (
            f"preprocessing of scikit-learn ({names[0].rpartition('.')[2]}) without a network",
            "the file of the network too: `unroll import NETWORK FILE models/NAME/1`",
        )
    return None
