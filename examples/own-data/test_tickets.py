"""Every answer of the service must be a Ticket and nothing else."""

import json
from pathlib import Path

import pytest
from ticket import Ticket

ROWS = Path(__file__).with_name("answers.jsonl").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("answer", [json.loads(row)["text"] for row in ROWS])
def test_an_answer_is_a_ticket(assert_format, answer):
    assert_format(answer, schema=Ticket)
