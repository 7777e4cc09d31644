"""Imports that are put off."""

import subprocess
import sys

from espnet2_taste.io.late_import import import_when_called


def test_imported_when_called(tmp_path, monkeypatch):
    (tmp_path / "costly.py").write_text(
        "def double(x, more=0):\n    return 2 * x + more\n\n\nother = 5\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "costly", None)
    for use in ("call", "read"):
        del sys.modules["costly"]
        import_when_called("costly", "double")
        from costly import double

        assert not hasattr(sys.modules["costly"], "__file__")
        if use == "call":
            assert double(2, more=1) == 5
        else:
            from costly import other

            assert other == 5 and double(3) == 6
        assert sys.modules["costly"].__file__ == str(tmp_path / "costly.py")


def test_vectors_are_looked_up_without_the_compiler():
    program = (
        "import sys, torch\n"
        "from espnet2_taste.nn.vector_quantize import VectorQuantize\n"
        "model = VectorQuantize(dim=4, codebook_size=8).eval()\n"
        "model.get_codes_from_indices(torch.tensor([[1, 2]]))\n"
        "assert 'torch._dynamo' not in sys.modules, 'the compiler'\n"
        "assert 'sympy' not in sys.modules, 'sympy'\n"
        "mask = torch.ones(1, 3, dtype=torch.bool)\n"
        "model(torch.randn(1, 3, 4), mask=mask)\n"
        "assert hasattr(sys.modules['einx'], '__file__')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
