import pytest

from subarch import errors
from subarch.errors import (
    ConfigError,
    InterruptedRun,
    MissingExtraError,
    StorageError,
    SubarchError,
    did_you_mean,
)

TREE = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]


@pytest.mark.parametrize("error", TREE)
def test_every_error_has_one_root_and_a_docstring(error):
    assert issubclass(error, SubarchError)
    assert error.__doc__
    assert f"- {error.__name__} " in errors.__doc__


@pytest.mark.parametrize("error", TREE)
def test_the_users_mistakes_are_value_errors(error):
    assert issubclass(error, ValueError) == issubclass(error, errors.UserError)


@pytest.mark.parametrize(
    ("error", "code"), [(ConfigError, 2), (MissingExtraError, 2), (StorageError, 1), (InterruptedRun, 130)]
)
def test_exit_codes(error, code):
    assert error("x").exit_code == code


def test_the_hint_has_a_line_of_its_own():
    assert str(ConfigError("got 1, expected 2")) == "got 1, expected 2"
    error = ConfigError("got 1, expected 2", "write 2")
    assert str(error) == "got 1, expected 2\nhint: write 2"
    assert (error.message, error.hint) == ("got 1, expected 2", "write 2")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("rtee", "did you mean rte? known: cola, mnli, rte"),
        ("COLA", "did you mean cola? known: cola, mnli, rte"),
        ("zzz", "known: cola, mnli, rte"),
    ],
)
def test_did_you_mean(name, hint):
    assert did_you_mean(name, ["rte", "mnli", "cola"]) == hint
