"""What we use of vector_quantize_pytorch, without einx until that is called.

einx imports torch's compiler and sympy: two of the eight seconds in which a program
started that only looks vectors up.
"""

from espnet2_taste.io.late_import import import_when_called

import_when_called("einx", "add", "get_at", "where")

from vector_quantize_pytorch import FSQ, ResidualVQ, VectorQuantize  # noqa: E402
from vector_quantize_pytorch.vector_quantize_pytorch import (  # noqa: E402
    cdist,
    kmeans,
)

__all__ = ["FSQ", "ResidualVQ", "VectorQuantize", "cdist", "kmeans"]
