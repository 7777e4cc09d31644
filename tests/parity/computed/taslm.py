"""The expected tensors of ``d_spoken_lm``, ``d2_delays`` and ``d_heads``."""

import torch
from parity.compare import Result
from parity.models import HEADS, taslm_model

from espnet2_taste.hub.published_arguments import TEXT_KL_WEIGHT
from espnet2_taste.taslm.espnet_model import TaslmModel
from espnet2_taste.taslm.inputs import TaslmInputs
from espnet2_taste.text.view import TextView

FILE = "d_spoken_lm"
DELAYS = r"delay(\d+)_(word|token)_inputs_embeds"


def batch_of(parity) -> tuple[torch.Tensor, ...]:
    """text, lengths, word ids, codes of each word, number of words."""
    data = parity.load(FILE)
    indices = data["llm_indices"]
    rows = indices[..., 0] >= 0  # the first token of a word has its codes
    taste = torch.nn.utils.rnn.pad_sequence(
        [item[row] for item, row in zip(indices, rows, strict=True)], batch_first=True
    )
    names = ("token_ids", "token_lengths", "word_ids")
    text = TextView(*(data[f"llm_{name}"].long() for name in names))
    return text, taste, rows.sum(1)


def delays(parity) -> dict:
    """``d2_delays``: inputs for other delays."""
    results = {}
    for match in parity.match("d2_delays", DELAYS):
        delay, level = int(match[1]), match[2]
        model = taslm_model(parity, delay=delay, delay_level=level)
        inputs = model.assemble(*batch_of(parity)[:2])
        results |= {
            f"delay{delay}_{level}_inputs_embeds": inputs.embeds,
            f"delay{delay}_{level}_attention_mask": inputs.mask,
            f"delay{delay}_{level}_output_lengths": inputs.lengths,
            f"delay{delay}_{level}_taste_labels": inputs.taste_labels,
        }
    return results


def spoken_lm(parity) -> dict:
    """``d_spoken_lm``: inputs, then every head in both modes."""
    model, batch = taslm_model(parity, "cont", padding_labels=True), batch_of(parity)
    inputs = model.assemble(*batch[:2])
    hidden = model.lm(inputs.embeds, inputs.mask).hidden
    # The base reads the text alone, and as the reference the padding after it.
    ids = torch.nn.functional.pad(batch[0].ids, (1, 0), value=model.lm.sos_id)
    read = inputs.mask[:, : ids.size(1)]
    base = model.lm.base_hidden(model.lm.embed(ids), read)
    mu = model.speech_head.fc_mu(hidden)
    logvar = model.speech_head.logvar
    results = {
        "inputs_embeds": inputs.embeds,
        "attention_mask": inputs.mask,
        "output_lengths": inputs.lengths,
        "taste_labels": inputs.taste_labels,
        "last_hidden_state": Result(hidden, inputs.mask),
        "ref_logits": Result(model.lm.logits(base, base=True), read),
        "cont_mu": Result(mu, inputs.mask),
        "cont_logvar": logvar,
        "cont_z": Result(mu + (logvar / 2).exp(), inputs.mask),
    }
    for head in HEADS:
        for mode in ("eval", "train"):
            found = head_in_mode(parity, head, mode)
            results |= {f"{head}_{mode}_{name}": x for name, x in found.items()}
    return results


def head_in_mode(parity, head: str, mode: str) -> dict:
    """Logits, labels, losses with and without text KL, and gradients."""
    model = taslm_model(parity, head, padding_labels=True)
    model.train(mode == "train")
    inputs = model.assemble(*batch_of(parity)[:2])
    hidden = model.lm(inputs.embeds, inputs.mask).hidden
    latent = head == "cont"
    noise = parity.load(FILE)[f"{head}_{mode}_eps"] if latent and model.training else 0
    options = {"noise": noise} if latent else {}
    found = model.speech_head(hidden, inputs.taste_labels, model.quantizer, **options)
    results = {
        "text_logits": Result(model.lm.logits(hidden), inputs.mask),
        "text_labels": inputs.text_labels,
    }
    if latent:
        results["taste_argmax"] = Result(found.codes, inputs.mask)
        terms = {"taste_mse": found.loss}
    else:
        logits = model.speech_head.logits(hidden)
        results["taste_logits"] = Result(logits, inputs.mask)
        labelled = inputs.taste_labels[..., 0] >= 0
        log_probs = model.speech_head.log_probs(
            hidden[labelled], inputs.taste_labels[labelled], model.quantizer
        )
        terms = {"taste_ce": -log_probs.mean(0)}
        if head == "multi":  # the loss is the mean of both
            terms["taste_mse"] = 2 * found.loss - terms["taste_ce"].mean()
    for kl, weight in (("noref", 0.0), ("kl", TEXT_KL_WEIGHT)):
        losses = text_losses(parity, model, hidden, inputs, weight) | terms
        text = losses.pop("text")
        loss = model.loss_weights[0] * text + model.loss_weights[1] * found.loss
        results |= {f"{kl}_{name}": value for name, value in losses.items()}
        results[f"{kl}_loss"] = loss
        if kl == "noref":  # the recorded gradients are of this loss
            results |= gradients(model, loss)
    return results


def text_losses(
    parity, model: TaslmModel, hidden: torch.Tensor, inputs: TaslmInputs, weight: float
) -> dict[str, torch.Tensor]:
    """The text loss with a KL of this weight, and its terms."""
    text = batch_of(parity)[0]
    model.text_kl_weight = 0.0
    ce, _ = model.text_loss(hidden, inputs, text)
    if not weight:
        return {"text": ce, "text_ce": ce}
    model.text_kl_weight = weight
    loss, stats = model.text_loss(hidden, inputs, text)
    return {"text": loss, "text_ce": ce, "text_kl": stats["text_kl"]}


def gradients(model: TaslmModel, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """``grad_<parameter>`` of what is trained around the first layer."""
    layer = model.lm.causal_lm.base_model.layers[0]
    named = {
        "fuse_w": model.inputs.fusion.weights,
        "pad_audio": model.inputs.pad_audio,
        "pad_text": model.inputs.pad_text,
        "lora_B_q0": layer.self_attn.q_proj.lora_B["default"].weight,
    }
    for name, parameter in model.speech_head.named_parameters():
        named[f"head_{name.replace('logvar', 'b_logvar')}"] = parameter
    found = torch.autograd.grad(loss, list(named.values()), retain_graph=True)
    return {f"grad_{name}": x for name, x in zip(named, found, strict=True)}


def heads(parity) -> dict:
    """``d_heads``: weights, which the heads of ``d_spoken_lm`` are loaded with.

    Loading is strict, so that what the models hold is what the file must have.
    """
    results = {}
    for head, module in HEADS.items():
        if not parity.match("d_heads", rf"{module}\..+"):
            continue
        weights = taslm_model(parity, head).speech_head.state_dict()
        results |= {
            f"{module}.{name.replace('logvar', 'b_logvar')}": value
            for name, value in weights.items()
        }
    # The token heads of the reference inherit a logvar and never use it.
    for match in parity.match("d_heads", r"(multi_)?linear_last\.b_logvar"):
        results[match[0]] = parity.load("d_heads")[match[0]]
    return results


FILES = {FILE: spoken_lm, "d2_delays": delays, "d_heads": heads}
