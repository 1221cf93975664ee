"""The translation models that are served, by the languages that they translate."""

from collections.abc import Mapping, Sequence

from service.domain.errors import InvalidRequest
from service.domain.models import LanguagePair, ModelVersion

#: Stands for whatever language a text is in.
AUTO = "auto"


class Translators:
    """The newest versions of the translation models whose cards name their languages.

    Of several models for the same pair of languages, the one whose name comes first translates.
    """

    def __init__(self, models: Mapping[str, Sequence[ModelVersion]]) -> None:
        self._models: dict[LanguagePair, ModelVersion] = {}
        for name in sorted(models):
            newest = models[name][-1]
            if newest.languages is not None:
                self._models.setdefault(newest.languages, newest)

    def languages(self) -> dict[str, list[str]]:
        """Return the targets of each language, none of a language that is a target only."""
        targets: dict[str, list[str]] = {code: [] for pair in self._models for code in pair}
        for source, target in sorted(self._models):
            targets[source].append(target)
        return dict(sorted(targets.items()))

    def find(self, source: str, target: str) -> ModelVersion:
        """Return the model that translates from `source`, which may be AUTO, to `target`. Raises InvalidRequest."""
        known = self.languages()
        targets = sorted({pair.target for pair in self._models})
        if target not in targets:
            raise InvalidRequest(f"target is {target!r}: expected one of {targets}", param="target")
        sources = sorted(pair.source for pair in self._models if pair.target == target)
        if source == AUTO:
            if len(sources) > 1:
                raise InvalidRequest(
                    f"source is 'auto': expected one of {sources}, since no languages are detected", param="source"
                )
            source = sources[0]
        if source not in known or target not in known[source]:
            raise InvalidRequest(
                f"source is {source!r}: expected one of {sources} for target {target!r}", param="source"
            )
        return self._models[LanguagePair(source, target)]
