"""ESPnet tasks of the parts of a system.

ESPnet's base class of tasks imports adapters (with transformers' wav2vec 2) and the
plots of attention of all its models (with scipy.stats and numba) to name a function of
each. Few trainings call them, and they take a third of the time in which one starts:
they are imported when they are called.
"""

from espnet2_taste.io.late_import import import_when_called

import_when_called("espnet2.layers.create_adapter", "create_adapter")
import_when_called(
    "espnet2.main_funcs.calculate_all_attentions", "calculate_all_attentions"
)
