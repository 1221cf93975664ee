"""Options that are equal but were sent otherwise are told apart."""

from service.http.schemas.options import Options, StepOptions
from service.http.schemas.requests import StepBody


def test_options_name_those_that_the_client_sent_even_with_default_values() -> None:
    assert StepOptions().to_domain().given == frozenset()
    assert StepOptions(top_k=5).to_domain().given == {"top_k"}
    assert Options(top_k=5, complete=False).to_domain().given == {"top_k", "complete"}


def test_levels_become_floats_in_the_order_that_they_were_sent_in() -> None:
    assert StepOptions(quantiles=[0.9, 0.5]).to_domain().quantiles == (0.9, 0.5)


def test_options_of_one_step_do_not_reach_the_next() -> None:
    steps = [{"input": {"text": "a"}, "options": {"top_k": 3}}, {"input": {"text": "a"}}]
    operations = [StepBody.model_validate(step).to_domain("ses_x", None).operation for step in steps]
    assert [operation.options.top_k for operation in operations] == [3, 5]
