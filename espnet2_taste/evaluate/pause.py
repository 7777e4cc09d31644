"""Agreement of pauses between words."""

from espnet2_taste.evaluate.matching import WordPairs
from espnet2_taste.evaluate.statistics import Statistics


def pause_correlation(pairs: WordPairs) -> Statistics:
    """Are the pauses where they were, and as long?

    Definition: Pearson's r over all matched words but the last of each utterance
    between the silence [s] after the word in reference and row (0 s where the words
    run on), times by forced alignment. Unit: none, range -1 to 1, nan if undefined.
    """
    return Statistics.correlation(
        pairs.ids, pairs.reference_pause, pairs.row_pause, pairs.utterances
    )
