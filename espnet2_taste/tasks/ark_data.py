"""Training data in arks: ESPnet's reader would run commands and unpickle.

Importing this module puts ours in its place (``kaldi_ark``).
"""

from espnet2.train.dataset import DATA_TYPES, AdapterForSoundScpReader

from espnet2_taste.io.arks import Arks, load_ark_entry


class _Entries(Arks):
    """Audio is (rate, samples), as ESPnet's adapter takes it; finite or not is for the
    preprocessors to say."""

    def __getitem__(self, key: str):
        return load_ark_entry(self.entries[key])


def read_ark_data(
    path: str,
    float_dtype: str | None = None,
    max_cache_fd: int = 0,
    allow_multi_rates: bool = False,
) -> AdapterForSoundScpReader:
    """``*.scp`` -> utterance -> its array, as ESPnet's data loader calls it."""
    return AdapterForSoundScpReader(
        _Entries(path), float_dtype, allow_multi_rates=allow_multi_rates
    )


DATA_TYPES["kaldi_ark"]["func"] = read_ark_data
