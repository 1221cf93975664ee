"""The candidates of many beam searches are those of sorting all continuations of each."""

import torch
from torch import Tensor

from service.tasks.translation.decoding.beam_search import BeamSearch, Candidate, DecoderOutput
from service.tasks.translation.decoding.candidate_ranking import rank_candidates
from service.tasks.translation.subwords import TokenConstraints

VOCABULARY, END = 11, 2
NO_MASK = torch.zeros(VOCABULARY)
FIRST = NO_MASK.clone().index_fill_(0, torch.tensor([0, END, 7]), -torch.inf)
CONSTRAINTS = TokenConstraints(0, END, NO_MASK.clone().index_fill_(0, torch.tensor([0]), -torch.inf), FIRST, NO_MASK)


def search(size: int, logprobs: list[float]) -> BeamSearch:
    """A search with one hypothesis for each of the log-probabilities, or that has not begun if there are none."""
    beam = BeamSearch(CONSTRAINTS, torch.zeros(1), 1, first_mask=FIRST, size=size, limit=9)
    if logprobs:
        candidates = [(logprob, 0, 3) for logprob in logprobs]
        beam.update(DecoderOutput(torch.zeros(1, VOCABULARY), torch.zeros(1, 1), 0, candidates, None))
    return beam


def sorted_candidates(beam: BeamSearch, logprobs: Tensor) -> list[Candidate]:
    totals = [
        (before + logprob, row, piece)
        for row, (before, own) in enumerate(zip(beam.logprobs(), (logprobs + beam.mask).tolist(), strict=True))
        for piece, logprob in enumerate(own)
        if logprob > -torch.inf
    ]
    return sorted(totals, reverse=True)[: 2 * beam.size]


def test_searches_of_any_size_and_mask_among_rows_of_others_get_their_own_best_candidates() -> None:
    searches = {
        0: search(4, [-1.0, -1.5, -2.0, -9.0]),
        4: search(2, []),
        # rows 5 and 6 belong to searches of another kind
        7: search(4, [-0.5, -0.7]),
        9: search(4, []),
        10: search(8, [-3.0]),
    }
    logprobs = torch.randn(11, VOCABULARY, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
    expected = {
        start: sorted_candidates(beam, logprobs[start : start + len(beam.ids)]) for start, beam in searches.items()
    }
    others = logprobs[5:7].clone()
    assert rank_candidates(searches, logprobs) == expected
    assert torch.equal(logprobs[5:7], others)
    assert len(expected[10]) == VOCABULARY - 1
