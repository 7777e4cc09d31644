import pytest
import torch

from espnet2_taste.bin import run
from espnet2_taste.extras import import_extra


@pytest.mark.parametrize(
    "main, traceback",
    [
        (lambda: import_extra("not_there", "scoring"), False),
        (lambda: open("/not/there"), False),
        (lambda: torch.zeros(2) @ torch.zeros(3), True),
    ],
    ids=["ours", "file", "library"],
)
def test_one_line_but_for_faults_of_the_program(main, traceback, caplog):
    with pytest.raises(SystemExit, match="^error: "):
        run(main)
    assert ("traceback" in caplog.text) == traceback
