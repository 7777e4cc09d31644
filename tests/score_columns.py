"""The columns of every scorer, as ``results.json`` has them."""

from espnet2_taste.evaluate import likelihood, qa
from espnet2_taste.evaluate.column import to_json
from espnet2_taste.evaluate.scorers import meter_choices
from espnet2_taste.evaluate.scorers.beside import BitRate, Judge, UnitAccuracy
from espnet2_taste.evaluate.scorers.pitch import PitchScorer
from espnet2_taste.evaluate.scorers.times import TimesScorer
from espnet2_taste.evaluate.scorers.words import WordsScorer

SCORERS = [PitchScorer, WordsScorer, TimesScorer]
SCORERS += [meter_choices.get_class(name) for name in meter_choices.names()]
SCORERS += [BitRate, UnitAccuracy, Judge]
COLUMNS = {
    table: to_json(
        c for scorer in SCORERS for c in scorer.columns if c.table in ("", table)
    )
    for table in ("reconstruction", "continuation")
}
COLUMNS |= {"likelihood": to_json(likelihood.COLUMNS), "qa": to_json(qa.COLUMNS)}
