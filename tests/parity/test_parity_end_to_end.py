"""The whole model against the reference's calls (h_end_to_end)."""

import pytest
from parity.compare import check_tensor
from parity.computed.end_to_end import FILES
from parity.models import HEADS

from espnet2_taste.hub.conversion_plan import make_plan
from espnet2_taste.hub.published_names import LOGVAR


@pytest.mark.tensors(*FILES)
def test_tensor(parity, tensor):
    check_tensor(parity, FILES, tensor)


def test_converter_takes_every_tensor(parity):
    plan = make_plan(parity.config, parity.model, "the folder")
    assert [part.name for part in plan.parts] == ["taste", "taslm"]
    dead = ("audio_tower.vq.rvq.mlps.",)
    if parity.config["spoken_lm_config"]["out_llm_module"] != HEADS["cont"]:
        dead += (LOGVAR,)
    assert all(name.startswith(dead) for name in plan.dropped)
    taken = {plan.source(n) for part in plan.parts for n in part.tensors.values()}
    assert taken | set(plan.dropped) == set(parity.model)
