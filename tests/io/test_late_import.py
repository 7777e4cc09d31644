"""Imports that are put off."""

import subprocess
import sys

import pytest
import torch

from espnet2_taste.io.late_import import compiler_left_out, import_when_called


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


def test_an_encoder_masks_without_the_compiler():
    program = (
        "import sys, torch\n"
        "from espnet2_taste.asr.espnet_asr import build_encoder\n"
        "from espnet2_taste.asr.log_mel import LogMelFrontend\n"
        "small = dict(output_size=8, attention_heads=2, num_blocks=1)\n"
        "wide = dict(cgmlp_linear_units=8, linear_units=8)\n"
        "encoder = build_encoder('e_branchformer', 80, small | wide)\n"
        "feats = LogMelFrontend()(torch.randn(1, 8000), torch.tensor([8000]))\n"
        "encoder(*feats)\n"
        "assert 'torch._dynamo' not in sys.modules, 'the compiler'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_compiler_is_told_when_it_is_there():
    with compiler_left_out():

        @torch.compiler.disable
        def double(x):
            assert not torch.compiler.is_compiling()
            return 2 * x

    assert torch.compiler.disable.__module__ == "torch.compiler"
    compiled = torch.compile(lambda x: double(x) + 1, backend="eager")
    assert compiled(torch.ones(2)).tolist() == [3, 3]
    whole = torch.compile(lambda x: double(x) + 1, backend="eager", fullgraph=True)
    with pytest.raises(Exception, match="disable"):
        whole(torch.ones(2))
