"""Some utterances of a batch of the TASLM."""


def cut(batch, rows):
    """The batch of the rows, without padding that only others need, and its codes."""
    lengths = batch["text_lengths"][rows]
    made = {"text_lengths": lengths}
    for name in ("text", "word_ids"):
        made[name] = batch[name][rows, : lengths.max()]
    return made, batch["taste"][rows, : batch["taste_lengths"][rows].max()]
