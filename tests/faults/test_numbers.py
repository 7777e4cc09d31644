"""Numeric options of every command: what makes no sense is refused at once, by name."""

import argparse
import importlib
import pkgutil

import pytest

from espnet2_taste import bin as commands
from espnet2_taste.bin import numbers
from espnet2_taste.tasks.train import POSITIVE, check_numbers

BAD = ["nan", "-inf", "-1", "-0.5", "1e400x", "x", "", " ", "0x10", "1_0", "١", "²"]
BAD += ["9" * 30, "1e30", "--1", "1,5", "None"]
NAMES = [m.name for m in pkgutil.iter_modules(commands.__path__)]
#: What an option's type must be where it is a number.
TYPES = (numbers.positive, numbers.count, numbers.jobs, numbers.seed, numbers.seconds)
TYPES += (numbers.temperature,)
MADE = ("whole.<locals>.parse", "real.<locals>.parse")


def actions(parser):
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from actions(sub)
        else:
            yield action


def number_options():
    for name in NAMES:
        module = importlib.import_module(f"espnet2_taste.bin.{name}")
        if hasattr(module, "get_parser"):
            for action in actions(module.get_parser()):
                yield name, action


OPTIONS = [
    pytest.param(action, id=f"{name} {action.dest}")
    for name, action in number_options()
    if getattr(action.type, "__qualname__", "") in MADE
]


def test_every_number_has_a_type_of_ours():
    assert len(OPTIONS) > 20
    for name, action in number_options():
        numeric = isinstance(action.default, int | float)
        numeric = numeric and not isinstance(action.default, bool)
        known = getattr(action.type, "__qualname__", "") in MADE
        assert action.type not in (int, float), f"{name} {action.dest}"
        assert known or not numeric, f"{name} {action.dest}"


@pytest.mark.parametrize("action", OPTIONS)
def test_numbers_of_commands(action):
    accepted = []
    for text in BAD:
        if text in ("1e30", "9" * 30) and action.default == float("inf"):
            continue
        if text in ("-1", "-0.5") and "logprob" in action.dest:
            continue
        try:
            accepted.append(action.type(text))
        except argparse.ArgumentTypeError as error:
            assert text in str(error) and "expected a" in str(error)
    assert not accepted
    if action.default is not None and isinstance(action.default, int | float):
        assert action.type(str(action.default)) == action.default


@pytest.mark.parametrize("option", ["--nj", "--timeout", "--retries", "--temperature"])
@pytest.mark.parametrize("value", ["-3", "nan", "1e99"])
def test_the_option_is_named(option, value, capsys):
    from espnet2_taste.bin import judge

    words = ["--data_dir", "x", "--output_dir", "y", f"{option}={value}"]
    with pytest.raises(SystemExit) as error:
        judge.main(words)
    assert error.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"argument {option}: {value}: expected a" in line


@pytest.mark.parametrize("name", sorted(POSITIVE))
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_numbers_of_training(name, value):
    with pytest.raises(ValueError, match=f"--{name} {value}: expected a number ab"):
        check_numbers(argparse.Namespace(**{name: value}))


@pytest.mark.parametrize("name", ["ngpu", "num_workers", "seed", "grad_clip"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("-inf")])
def test_numbers_of_training_that_may_be_zero(name, value):
    with pytest.raises(ValueError, match=f"--{name} {value}: expected a number from 0"):
        check_numbers(argparse.Namespace(**{name: value}))
    check_numbers(argparse.Namespace(**{name: 0, "grad_clip": float("inf")}))
