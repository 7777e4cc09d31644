"""CosyVoice 2's text-to-unit LM: training layouts, generation, sampling lists."""

from collections.abc import Iterator

import torch
from on_device import DEVICE
from parity.compare import Result

from espnet2_taste.hub.compat import published_fills
from espnet2_taste.hub.published_llm import LLM
from espnet2_taste.hub.published_names import to_ours
from espnet2_taste.nn.fusion import WeightedSumFusion
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    Conditioning,
    Sampling,
)
from espnet2_taste.taste.speech_decoder.interleaved_layout import (
    TEXT,
    UNIT,
    fits_blocks,
    interleaved_layout,
)
from espnet2_taste.taste.speech_decoder.interleaved_lm import InterleavedLMDecoder
from espnet2_taste.taste.speech_decoder.sampling import UnitSampler
from espnet2_taste.taste.speech_decoder.streams import Piece, SpokenPrompt
from espnet2_taste.text.view import TextView

CASES = ("uni", "bi", "seeded", "bi_2_5")


def build(sizes: dict, mix_ratio: list[int]) -> InterleavedLMDecoder:
    """A decoder of a fixture's sizes."""
    config = {
        "model_type": "qwen2",
        "hidden_size": sizes["hidden"],
        "intermediate_size": sizes["inter"],
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": sizes["heads"],
        "num_key_value_heads": sizes["kv"],
        "rope_theta": 1e6,
        "rms_norm_eps": 1e-6,
    }
    return InterleavedLMDecoder(
        sizes["vocab"],
        sizes["hidden"],
        sizes["units"],
        1,
        WeightedSumFusion,
        {"config": config},
        mix_ratio=mix_ratio,
    )


def decoder(folder, mix_ratio: list[int]) -> InterleavedLMDecoder:
    """The fixture's model; its fusion is not in the fixture and not used."""
    made = build(folder.config["lm"], mix_ratio)
    state = folder.weights_of("l_lm_model")
    state = {to_ours(LLM, name): tensor for name, tensor in state.items()}
    absent, extra = made.load_state_dict(state, strict=False)
    assert not extra and all(name.startswith("fusion.") for name in absent)
    return made.to(DEVICE).eval()


def view(ids: torch.Tensor, lengths: torch.Tensor | None = None) -> TextView:
    """Text ids as our decoder takes them."""
    ids, words = ids.long(), torch.arange(ids.size(1)).expand(len(ids), -1)
    full = torch.full((len(ids),), ids.size(1))
    return TextView(ids, full if lengths is None else lengths.long(), words)


def train(folder) -> Iterator[tuple[str, torch.Tensor | Result]]:
    data = folder.load("l_train")
    text = view(data["text_token"], data["text_token_len"])
    units, lengths = data["speech_token"].long(), data["speech_token_len"].long()
    cond = Conditioning(text, None, torch.zeros(len(units), 1))
    for case in CASES:
        values = folder.values["lm_train"][case]
        mix = values["mix_ratio"]
        model, states = decoder(folder, mix), []
        drawn = torch.tensor(values["python_draws"]) < 0.5
        blocks = drawn & fits_blocks(text.lengths, lengths, mix)
        layout = interleaved_layout(
            text.lengths, units, lengths, blocks, mix, model.num_units
        )
        index = layout.index
        padded = torch.nn.functional.pad(text.ids, (0, index.size(1)))
        ids = torch.where(layout.kinds == TEXT, padded.gather(1, index), 0)
        padded = torch.nn.functional.pad(units, (0, index.size(1)))
        ids = torch.where(layout.kinds == UNIT, padded.gather(1, index), ids)
        valid = layout.kinds >= 0
        yield f"{case}.input_kind", layout.kinds
        yield (
            f"{case}.input_id",
            Result(ids, (layout.kinds == TEXT) | (layout.kinds == UNIT)),
        )
        yield f"{case}.label", layout.targets
        yield f"{case}.len", layout.lengths
        model.llm_decoder.register_forward_pre_hook(lambda _, x, s=states: s.extend(x))
        out = model.teacher_forced(cond, units, lengths, blocks)
        yield f"{case}.logits", Result(out.logits, valid)
        yield f"{case}.hidden", Result(states[0], valid)
        yield f"{case}.loss", out.loss
        labelled = out.targets >= 0
        right = (out.logits.argmax(-1) == out.targets) & labelled
        yield f"{case}.acc", right.sum() / labelled.sum()
        out.loss.backward()
        own = {to_ours(LLM, k): k for k in folder.shapes("l_lm_model")}
        for name, parameter in model.named_parameters():
            if name in own and parameter.grad is not None:
                yield f"{case}.grad.{own[name]}", parameter.grad
        if case == "seeded":
            total = out.loss * labelled.sum() / len(units)
            yield f"{case}.loss_not_length_normalised", total
            model.label_smoothing = 0.1
            smooth = model.teacher_forced(cond, units, lengths, blocks).loss
            yield f"{case}.loss_smoothing_0.1", smooth


class Rule(UnitSampler):
    """The fixture's: greedy, and the end as soon as it may, from ``stop_at`` ids on."""

    stop_at = 0

    def __call__(self, logits, step, active=None):
        end = logits.size(-1) - 3
        stops = (logits[:, end] > -torch.inf) & (self.count >= self.stop_at)
        logits[:, end] = -torch.inf
        units = torch.where(stops, end, logits.argmax(-1))
        self.note(units, active)
        return units


@torch.no_grad()
def generate(folder) -> Iterator[tuple[str, torch.Tensor]]:
    data, values = folder.load("l_generate"), folder.values["lm_generate"]
    text, prompt_text = data["text"], data["prompt_text"]
    prompt_units = data["prompt_speech_token"][0].long()
    prompt = SpokenPrompt(piece(prompt_text[0]), prompt_units)
    for case in ("plain", "prompt", "eos"):
        model = published_fills(decoder(folder, folder.config["lm"]["mix"]))
        model.llm_decoder.bias[model.end] += values[case]["eos_bias_added"]
        steps = []
        model.llm_decoder.register_forward_hook(lambda *x, s=steps: s.append(x[-1]))
        out = model.generate(
            Conditioning(view(text), None, torch.zeros(1, 1)),
            Sampling(top_k=1),
            prompts=None if case == "plain" else [prompt],
            in_blocks=False,
        )
        yield f"{case}.out", out.units[0]
        logp = torch.cat(steps).log_softmax(-1)[: values[case]["steps"]]
        yield f"{case}.logp", torch.cat([logp[:12], logp[-1:]])
    for case in ("bi_plain", "bi_prompt", "bi_2_5"):
        made = values[case]
        model = published_fills(decoder(folder, made["mix_ratio"]))
        prompts = [prompt] if case == "bi_prompt" else None
        streams = model.open_streams(torch.zeros(1, 1), Sampling(1), prompts=prompts)
        streams.sampler = Rule(Sampling(1), 1, DEVICE)
        streams.sampler.stop_at = made["stop_at"]
        pieces = [piece(ids) for ids in text[0].split(made["pieces"])]
        units = [*(streams.push([new])[0] for new in pieces), streams.finish()[0]]
        yield f"{case}.out", torch.cat(units)


def piece(ids: torch.Tensor) -> Piece:
    """Tokens without TASTE embeddings."""
    return Piece(ids.long(), torch.arange(len(ids)))


FILES = {"l_train": lambda f: dict(train(f)), "l_generate": lambda f: dict(generate(f))}
