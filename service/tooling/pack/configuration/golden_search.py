"""Search for the answers to open questions that golden vectors prove.

Combinations of choices are tried from the plain ones on, first those that differ from them in one choice, then in two,
and so on, up to MAX_TRIALS and MAX_MULTIPLICATIONS.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import combinations, product
from math import prod

from service.domain.errors import DiffersFromGolden, ModelFolderError
from service.nets.config.architecture_config import MAX_WINDOW
from service.nets.network_spec import find_spec
from service.tooling.architecture_tools import tools_of
from service.tooling.inspect.questions.question import Choice, Question, word_of
from service.tooling.pack.configuration.golden_trial import GoldenTrials
from service.tooling.pack.configuration.proposer import Configuration, Proposer

MAX_TRIALS = 1000
#: A plainer choice stays the closest unless another one comes so much closer.
CLOSER = 0.99
#: A minute of a processor core.
MAX_MULTIPLICATIONS = 2**38


class GoldenSearch:
    """The combinations of a proposal's choices, tried on golden vectors."""

    def __init__(self, proposer: Proposer, trials: GoldenTrials, place: str) -> None:
        """Name the vectors `place` in messages."""
        self._proposer, self._trials, self._place = proposer, trials, place
        self._closest: tuple[DiffersFromGolden, Mapping[str, object]] | None = None
        self._first: ModelFolderError | None = None
        self._tried = 0

    def prove(self, found: Configuration) -> tuple[Configuration, tuple[str, ...]]:
        """Return the configuration that the vectors prove, with the questions that they do not, and notes.

        Raises ModelFolderError if no combination gives the values of the vectors.
        """
        networks = [*self._networks(found)]
        total = sum(prod(len(self._choices(asked)) for asked in _forward(own)) for _, own in networks)
        for settings, own in self._candidates(networks):
            if self._computes(own, settings):
                return self._proved(found, own, settings)
        raise self._unproved(total)

    def _networks(self, found: Configuration, deviations: int = 0) -> Iterator[tuple[int, Configuration]]:
        """Yield the configurations by their networks, with the number of choices that are not the plain ones."""
        asked = next((question for question in found.questions if question.kind == "network"), None)
        if asked is None:
            yield deviations, self._told(found)
            return
        for index, choice in enumerate(asked.choices):
            try:
                own = self._proposer.configure({**found.settings, asked.field: choice.value})
            except ModelFolderError as error:
                self._first = self._first or error
                continue
            yield from self._networks(own, deviations + (index > 0))

    def _told(self, found: Configuration) -> Configuration:
        """Return the configuration with what the shapes of the vectors tell."""
        spec = find_spec(found.fields, self._place, self._proposer.architectures)
        told = tools_of(spec).told_by_vectors(found.fields, self._trials.shapes)
        return self._proposer.configure({**told, **found.settings}) if told else found

    def _candidates(
        self, networks: list[tuple[int, Configuration]]
    ) -> Iterator[tuple[dict[str, object], Configuration]]:
        """Yield the settings to try, the plainest first."""
        most = max((deviations + len(_forward(own)) for deviations, own in networks), default=-1)
        for deviations in range(most + 1):
            for base, own in networks:
                for answers in self._combinations(_forward(own), deviations - base):
                    if self._tried >= MAX_TRIALS or self._trials.multiplications > MAX_MULTIPLICATIONS:
                        return
                    yield {**own.settings, **answers}, own

    def _combinations(self, questions: list[Question], count: int) -> Iterator[dict[str, object]]:
        """Yield the answers in which so many are not the plain choice."""
        if count < 0:
            return
        for asked in combinations(questions, count):
            for chosen in product(*(self._choices(question)[1:] for question in asked)):
                yield {question.field: choice.value for question, choice in zip(asked, chosen, strict=True)}

    def _choices(self, question: Question) -> list[Choice]:
        """Return the choices that are tried; of a number of timesteps, all that the vectors have."""
        longest = min(self._trials.timesteps, MAX_WINDOW) if question.counts_timesteps else 0
        return [*question.choices, *(Choice(str(count), count) for count in range(longest, 0, -1))]

    def _computes(self, own: Configuration, settings: Mapping[str, object]) -> bool:
        """Return whether the network with these settings computes the values of the vectors."""
        self._tried += 1
        network_alone = {question.field for question in _forward(own) if not question.changes_reading}
        inputs = {field: value for field, value in settings.items() if field not in network_alone}
        try:
            self._trials.run(self._proposer.configure(settings), inputs)
        except DiffersFromGolden as error:
            if self._closest is None or error.ratio < CLOSER * self._closest[0].ratio:
                self._closest = error, _beside(settings, own.settings)
            return False
        except ModelFolderError as error:
            self._first = self._first or error
            return False
        return True

    def _proved(
        self, found: Configuration, own: Configuration, settings: Mapping[str, object]
    ) -> tuple[Configuration, tuple[str, ...]]:
        questions = _forward(own)
        proved = {question.field: question.plain.word for question in questions}
        proved |= {field: word_of(value) for field, value in settings.items() if field not in found.settings}
        notes = [f"the golden vectors prove {_render(proved)}"]
        equals = ((asked, [choice.word for choice in self._equals(asked, own, settings)]) for asked in questions)
        notes += [_render_equals(asked, proved[asked.field], words) for asked, words in equals if words]
        notes += [_render_unseen(asked) for asked in own.questions if asked.kind == "outside"]
        left = tuple(question for question in own.questions if question.kind == "meaning")
        return replace(self._proposer.configure(settings), questions=left), tuple(notes)

    def _equals(self, question: Question, own: Configuration, settings: Mapping[str, object]) -> Iterator[Choice]:
        """Yield the other choices of a question with which the network computes the same."""
        taken = settings.get(question.field, question.plain.value)
        for choice in self._choices(question):
            spent = self._tried >= MAX_TRIALS or self._trials.multiplications > MAX_MULTIPLICATIONS
            if choice.value != taken and not spent and self._computes(own, {**settings, question.field: choice.value}):
                yield choice

    def _unproved(self, total: int) -> ModelFolderError:
        if self._closest is None:
            return self._first or ModelFolderError(f"{self._place}: found no network to try")
        error, settings = self._closest
        chosen = _render({field: word_of(value) for field, value in settings.items()}) or "the plain choices"
        return ModelFolderError(
            f"{self._place}: found values that no choice computes, in {self._tried} of {total} combinations of what "
            f"the weights do not tell (at most {MAX_TRIALS:,} are tried, the plainest first). The closest is {chosen}: "
            f"{error}"
        )


def _forward(found: Configuration) -> list[Question]:
    return [question for question in found.questions if question.kind == "forward"]


def _render_unseen(question: Question) -> str:
    """Return that vectors show nothing of what is done outside of the network."""
    word = question.plain.word
    return f"golden vectors do not show {question.field} ({question.options()}): {word} is taken"


def _beside(settings: Mapping[str, object], others: Iterable[str]) -> dict[str, object]:
    return {field: value for field, value in settings.items() if field not in {*others}}


def _render(words: Mapping[str, str]) -> str:
    return ", ".join(f"{field}={word}" for field, word in words.items())


def _render_equals(question: Question, taken: str, equals: list[str]) -> str:
    """Return that the vectors do not tell a choice from others."""
    words, advice = ", ".join(equals), ""
    if question.counts_timesteps:
        words = f"{equals[-1]} to {equals[0]}" if len(equals) > 1 else equals[0]
        advice = "; longer sequences can tell"
    return (
        f"the golden vectors do not tell {question.field}={taken} from {words}, which give the same numbers: "
        f"{taken} is taken{advice}"
    )
