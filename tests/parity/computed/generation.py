"""The expected tensors of ``e_generate``, and the sampler's steps in index.json."""

import torch
from parity.compare import Result, Unknown
from parity.models import taslm_model

from espnet2_taste.taslm.generation import Generated, Prompt, generate
from espnet2_taste.taslm.sampler import (
    SamplingOptions,
    Vocabulary,
    penalise_repetition,
    top_p_filter,
)
from espnet2_taste.text.view import TextView

FILE = "e_generate"


def generation(parity) -> dict:
    """``<run>_*`` of every greedy run, and the filters ``topp_*`` and ``rep_*``."""
    results = filters(parity)
    for name, facts in parity.case(FILE).get("runs", {}).items():
        if name in runs(parity):
            found = outputs(parity, name)
            results |= {f"{name}_{key}": value for key, value in found.items()}
        else:
            reason = f"the folder does not store the {facts['mode']} run's prompt"
            for match in parity.match(FILE, rf"{name}_llm_\w+"):
                results[match[0]] = Unknown(reason)
    return results


def filters(parity) -> dict:
    """Nucleus and repetition penalty; their parameters are in the tensors' names."""
    data, results = parity.load(FILE), {}
    for match in parity.match(FILE, r"topp_out_([\d.]+)"):
        filtered = top_p_filter(data["topp_in"], float(match[1]))
        results[match[0]] = Result(filtered, exact=True)
    for match in parity.match(FILE, r"rep_out_([\d.]+)_after_topp"):
        seen = torch.zeros_like(filtered, dtype=torch.bool)
        seen.scatter_(1, data["rep_input_ids"], True)
        penalised = penalise_repetition(filtered, seen, float(match[1]))
        results[match[0]] = Result(penalised, exact=True)
    return results


def runs(parity) -> dict[str, dict]:
    """Name and facts of each run in index.json whose prompt is known.

    An ``instruct`` run needs ``prefix_ids`` and ``suffix_ids``: the plain text around
    the prompt, which is in no tensor.
    """
    found = parity.case(FILE).get("runs", {})
    return {
        name: facts
        for name, facts in found.items()
        if facts["mode"] != "instruct" or "prefix_ids" in facts
    }


def vocabulary(parity) -> Vocabulary:
    """The reference's tables as index.json lists them."""
    case, size = parity.case(FILE), parity.config["text_config"]["vocab_size"]
    tables = []
    for name in ("word_start_set", "sentence_end_set", "ban_ids"):
        table = torch.zeros(size, dtype=torch.bool)
        table[case[name]] = True
        tables.append(table)
    return Vocabulary(*tables, blank=torch.zeros_like(tables[0]))


def prompt_of(parity, name: str) -> Prompt:
    """The prompt of a run: item 0 of ``inputs``, or the one that ends its name.

    A number may also be that of ``extra_words`` (``zero8``).
    """
    inputs, facts = parity.load("inputs"), runs(parity)[name]
    number = int(name.removeprefix(facts["mode"]) or 0)
    words = number == facts["extra_words"] and facts["mode"] != "audio"
    item = 0 if words or facts["mode"] == "zero" else number
    length = inputs["llm_token_lengths"][item].long()
    codes = parity.load("d_spoken_lm")["llm_indices"][item]
    around = {
        key: torch.tensor(facts[f"{key}_ids"]) if f"{key}_ids" in facts else None
        for key in ("prefix", "suffix")
    }
    return Prompt(
        mode=facts["mode"],
        text=TextView(
            inputs["llm_token_ids"][item, :length][None],
            length[None],
            inputs["llm_word_ids"][item, :length].long()[None],
        ),
        taste=codes[codes[:, 0] >= 0][None],
        **around,
    )


def run(parity, name: str, use_cache: bool = True) -> Generated:
    """A greedy continuation by the reference's rules."""
    facts = runs(parity)[name]
    options = SamplingOptions(
        extra_words=facts["extra_words"],
        stop_id=facts.get("stop_id"),
        end_symbol=False,
        first_starts_word=False,
    )
    return generate(
        taslm_model(parity),
        vocabulary(parity),
        prompt_of(parity, name),
        options,
        use_cache=use_cache,
    )


def outputs(parity, name: str) -> dict:
    """What the reference's ``generate`` returns for a run."""
    made = run(parity, name)
    emitted = made.emitted[0]
    sampling = (made.codes[0, :, 0] >= 0).cumsum(0) > 0
    return {
        # a row per step from the first codes on
        "llm_indices": made.codes[:, sampling],
        "llm_token_ids": made.text[:, emitted],
        "llm_token_lengths": emitted.sum().view(1, 1),
        "llm_word_ids": made.starts[:, emitted].cumsum(1) - 1,
    }


def steps(mode: str, made: Generated) -> list[list]:
    """[text, codes, action, taste action] of each step in the reference's words."""
    found, sampling = [], False
    for step, text in enumerate(made.text[0].tolist()):
        starts, codes = bool(made.starts[0, step]), made.codes[0, step].tolist()
        if made.done[0, step]:
            action = "terminate"
        elif not made.emitted[0, step]:
            action = "wait_for_taste"
        else:
            action = f"continue_{'at' if starts else 'not_at'}_word_start"
        sampling = sampling or codes[0] >= 0
        if sampling:
            taste_action = "sample"
        elif mode == "audio":
            taste_action = "use_prefix" if starts else "use_prefix_ignore"
        else:
            taste_action = "wait"
        found.append([text, codes, action, taste_action])
    return found


FILES = {FILE: generation}
