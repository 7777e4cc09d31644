"""What TASTE2's public code does at its length limit, and what we do."""

import pytest
import torch
from parity2.computed import taste2


def runs(folder):
    """Case and name of the runs that the length ends."""
    for case, facts in folder.values.get("taste2_stage2", {}).items():
        if isinstance(facts, dict):
            for name, run in facts["generation"].items():
                if run["stop_id"] is None:
                    yield f"{case}.{name}"


@pytest.mark.cases(find=runs)
def test_length_limit(parity, case):
    """The last token's latent comes from its own position, as where a stop id ends the
    text; the reference's from the one before."""
    case, _, name = case.partition(".")
    run = parity.values["taste2_stage2"][case]["generation"][name]
    model = taste2.spoken_lm(parity, case)
    eps = parity.load("t_stage2")[f"{case}.{name}.eps"]
    made = [
        taste2.continued(parity, model, run, eps, compat=compat)
        for compat in (False, True)
    ]
    written = [one.text[one.emitted] for one in made]
    assert torch.equal(*written) and len(written[0]) == run["max_len"]
    ours, theirs = (one.latents[0][one.codes[0, :, 0] >= 0] for one in made)
    assert len(ours) == len(theirs) == run["max_len"]
    same = (ours == theirs).all(-1).tolist()
    late = model.inputs.delay  # segments whose latents follow the limit
    assert same == [True] * (run["max_len"] - late) + [False] * late
