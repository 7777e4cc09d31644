"""Every file of a folder: what computes its expected tensors.

Files of weights (``*_model``) and ``inputs`` are read on the way.
"""

from parity2.computed import lm, s3, taste2, vocoder

#: file -> function of a folder that gives {tensor: ours}; in order
FILES = {**s3.FILES, **vocoder.FILES, **lm.FILES, **taste2.FILES}
