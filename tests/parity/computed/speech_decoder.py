"""The expected tensors of ``c_speech_decoder``."""

import torch
from parity.compare import Result
from parity.models import clone, taste_model

from espnet2_taste.nn.segments import length_mask
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    Conditioning,
    Sampling,
)
from espnet2_taste.taste.speech_decoder.unit_transformer import UnitTransformerDecoder
from espnet2_taste.text.view import TextView

FILE = "c_speech_decoder"


def speech_decoder(parity) -> dict:
    """Encoders, teacher forcing with and without audio, greedy units."""
    model = taste_model(parity).speech_decoder
    return (
        encoders(parity, model)
        | teacher_forced(parity, model, "full")
        | teacher_forced(parity, model, "skip")
        | greedy(parity, model)
    )


def conditioning(parity, audio: bool = True) -> Conditioning:
    """The fixture's batch; without ``audio`` text only (skip_audio)."""
    data = parity.load(FILE)
    return Conditioning(
        text=TextView(
            data["asr_token_ids"],
            data["asr_token_lengths"].long(),
            parity.load("inputs")["asr_word_ids"].long(),
        ),
        audio=data["audio_unit_embeds"] if audio else None,
        spk_emb=data["speaker_embeds"],
    )


@torch.no_grad()
def encoders(parity, model: UnitTransformerDecoder) -> dict:
    """What text and TASTE vectors become before they are fused."""
    cond = conditioning(parity)
    valid = length_mask(cond.text.lengths, cond.text.ids.size(1))
    text = model.text_encoder(model.text_embedding(cond.text.ids))
    audio = model.audio_token_encoder(model.audio_embed_affine_layer(cond.audio))
    affine = model.text_encoder_affine_layer, model.audio_token_encoder_affine_layer
    return {
        "text_encoder_out": Result(text, valid),
        "text_encoded": Result(affine[0](text), valid),
        "audio_encoded": Result(affine[1](audio), valid),
    }


def teacher_forced(parity, model: UnitTransformerDecoder, mode: str) -> dict:
    """``full_*`` and ``skip_*``: what is read, logits, loss and gradients."""
    data, cond = parity.load(FILE), conditioning(parity, mode == "full")
    if mode == "full":
        cond.audio = clone(cond.audio)
    units, lengths = data["speech_token_ids"], data["speech_token_lengths"].long()
    seen = []
    hook = model.llm.register_forward_hook(
        lambda _, args, out: seen.append((args, out))
    )
    model.zero_grad()
    output = model(cond, units, lengths)
    output.loss.backward()
    hook.remove()
    (read,), hidden = seen[0]
    prompt = model._prompt(cond)
    valid = length_mask(cond.text.lengths, cond.text.ids.size(1))
    total = cond.text.lengths + 3 + lengths
    inside = length_mask(total, read.size(1))
    # Targets lie from the task symbol on; the reference's padding is -1 throughout.
    labels = torch.full(inside.shape, -1)
    slots = torch.arange(output.targets.size(1)) + cond.text.lengths[:, None] + 2
    real = output.targets >= 0
    rows = torch.arange(len(labels))[:, None].expand_as(slots)
    labels[rows[real], slots[real]] = output.targets[real]
    results = {
        "sos_eos_emb": prompt[:1, :1],
        "speaker": prompt[:, 1:2],
        "fused": Result(prompt[:, 2:-1], valid),
        "fused_len": cond.text.lengths,
        "task_id_emb": prompt[:1, -1:],
        "lm_input": read.masked_fill(~inside[..., None], -1.0),
        "lm_input_len": total,
        "labels": labels,
        "logits": Result(model.llm_decoder(hidden), inside),
        "loss": output.loss,
        "grad_llm_decoder_w": model.llm_decoder.weight.grad.clone(),
        # recorded as a sum over the speaker's axis
        "grad_spk_affine_w_sum": model.spk_embed_affine_layer.weight.grad.sum(1),
    }
    if mode == "full":
        results["grad_audio_unit_embeds"] = cond.audio.grad
    return {f"{mode}_{name}": value for name, value in results.items()}


@torch.no_grad()
def greedy(parity, model: UnitTransformerDecoder) -> dict[str, torch.Tensor]:
    """``ar<item>_*`` from one batch, ``ar_eos_*`` with the end made more likely."""
    units, log_probs = generate(parity, model)
    first = parity.match(FILE, r"ar(\d+)_first(\d+)_logp")
    results = {}
    for match in first:
        item, count = int(match[1]), int(match[2])
        results |= {
            f"ar{item}_speech_token_ids": units[item][None],
            match[0]: log_probs[item][:count],
            f"ar{item}_last_logp": log_probs[item][-1],
        }
    bias = model.llm_decoder.bias
    before = bias[model.num_units].clone()
    bias[model.num_units] += parity.case(FILE)["ar_eos_bias_delta"]
    units, _ = generate(parity, model)
    bias[model.num_units] = before
    return results | {"ar_eos_speech_token_ids": units[0][None]}


def generate(parity, model: UnitTransformerDecoder) -> tuple[list, list]:
    """Greedy units of each item, and (steps, V) log-probabilities.

    The last step is the one that says "end of speech" or makes the longest output.
    """
    steps = []
    hook = model.llm_decoder.register_forward_hook(
        lambda _, args, logits: steps.append(logits.log_softmax(-1))
    )
    cond = conditioning(parity)
    made = model.generate(cond, Sampling(top_k=1))
    hook.remove()
    scores, longest = torch.stack(steps, 1), (cond.text.lengths + 3) * model.max_ratio
    units, log_probs = [], []
    for item, length in enumerate(made.lengths.tolist()):
        units.append(made.units[item, :length])
        taken = length if length == int(longest[item]) else length + 1
        log_probs.append(scores[item, :taken])
    return units, log_probs


FILES = {FILE: speech_decoder}
