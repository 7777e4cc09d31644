"""What the statistics of training mean: ESPnet's reporter shows them in ``train.log``,
``images/*.png`` and tensorboard, for training and validation."""

import re

#: Name (a pattern for those of single codebooks) -> meaning, unit and range. Values are
#: means over utterances unless said otherwise; one that is undefined is nan.
MEANINGS = {
    "loss": "what is minimised: the weighted sum of the loss parts",
    # Tokenizer and speech decoder
    "ce": "cross-entropy of the speech decoder's targets, teacher-forced (nats)",
    "acc": "speech units whose most likely value is right, teacher-forced (0..1)",
    "acc5": "speech units that are among the five most likely values (0..1)",
    "commit": "commitment loss: squared distance of the vectors to their codebook "
    "entries, summed over codebooks; 0 for fsq, nan in validation, whose loss has none",
    "prosody": "squared error of a word's standardised log-F0, log duration and pause, "
    "read from its latent",
    "guidance": "-ln of the aggregator's attention to the frames of the token's word",
    "ctc": "CTC loss of the encoder's keys, per token (nats)",
    "ctc_inner": "the same of a middle layer of the CTC head, in its vocabulary",
    "heard": "utterances that are trained on what the CTC head hears (0..1)",
    "codebook_perplexity": "exp of the entropy of a codebook's frequencies over the "
    "rows of codes of the epoch, mean of the codebooks (1..codebook size)",
    "dead_codes": "codebook entries that the epoch did not use, of all "
    "codebooks together; a small validation set cannot use all",
    # Spoken language model
    "text_loss": "text part of loss: (1 - k) text_ce + k text_kl (k = text_kl_weight)",
    "text_ce": "cross-entropy of text tokens and end symbol (nats)",
    "text_acc": "text tokens and end symbols that are the most likely ones (0..1)",
    "text_kl": "KL divergence of the text's distribution from the base model's (nats)",
    "taste_loss": "the speech head's loss",
    "taste_ce": "-ln p(code), mean of the codebooks (nats)",
    "taste_acc": "codes that are the most likely ones, mean of the codebooks (0..1)",
    r"taste_acc\d+": "the same of one codebook",
    # The recipe's own units and speaker encoder
    "ceps": "squared error of the cepstrum, standardised and weighted (WorldVQ)",
    "f0": "squared error of the standardised log-F0, a tenth where unvoiced (WorldVQ)",
    "voicing": "binary cross-entropy of voicing (nats, WorldVQ)",
    "accuracy": "utterances whose training speaker is found (0..1)",
    # Of training itself
    "effective_batch_size": "utterances per update: mean batch x accum_grad, all ranks",
    "units_per_second": "speech units that are trained on in a second, everything "
    "included, on all ranks (without units in the data: tokens of text; without these: "
    "frames of features or samples)",
    "padding": "share of the batches that is padding, in the same positions (0..1; a "
    "frontend's own to 30 s is not among it)",
    "mfu": "model FLOPs utilisation: operations a second that the batches need without "
    "their padding, over those of a large matrix product in the dtype of training, "
    "measured on the same device (0..1). Counted of an epoch's first batch: products, "
    "convolutions, attention; of what is frozen forward only; without activation "
    "checkpointing's second time, FlashAttention's own kernels and recurrent layers",
    "trainable_parameters": "parameters that training changes",
    "grad_norm": "norm of the gradient before clipping",
    "clip": "updates whose gradient was clipped (percent)",
    "loss_scale": "of mixed precision; 1 without",
    r"optim\d+_lr\d+": "learning rate",
    "iter_time": "seconds a batch: loading",
    "forward_time": "seconds a batch: forward",
    "backward_time": "seconds a batch: backward",
    "optim_step_time": "seconds an update: optimiser",
    "train_time": "seconds an update: everything",
    "gpu_max_cached_mem_GB": "largest memory held on the GPU (GiB)",
}


def meaning(name: str) -> str:
    """What a statistic means; "" for an unknown one."""
    found = [text for key, text in MEANINGS.items() if re.fullmatch(key, name)]
    return found[0] if found else ""
