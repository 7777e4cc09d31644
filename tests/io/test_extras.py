import sys

import pytest

from espnet2_taste.io.extras import import_extra


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "jiwer", None)
    with pytest.raises(RuntimeError, match=r"jiwer is not .*taste\[scoring\]"):
        import_extra("jiwer", "scoring")


def test_a_present_package_is_imported():
    assert import_extra("json", "scoring").dumps([]) == "[]"
