import numpy as np
import pytest

from subarch.errors import DataError
from subarch.tasks import pydoc
from subarch.tasks.pydoc import load_pydoc

SIZES = {"test": 10, "validation": 6, "train": 20}


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Two packages of documentation that must never be imported."""
    for package, topic in (("left_package", "matrix"), ("right_package", "sentence")):
        folder = tmp_path / package
        (folder / "tests").mkdir(parents=True)
        (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
        (folder / "broken.py").write_text('"""One""" """ """ """ """ """ """ def def\n')
        for file in range(20):
            functions = [
                f'def f{i}():\n    """Return the {topic} of file {file} and function {i}, which is long '
                f'enough to count as a piece of prose by the rules, and nothing else."""\n'
                for i in range(4)
            ]
            (folder / f"module{file}.py").write_text("\n".join(functions))
            (folder / "tests" / f"test{file}.py").write_text("\n".join(functions).replace("Return", "Test"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(pydoc, "PACKAGES", {"left_package": "numpy", "right_package": "scipy"})
    monkeypatch.setattr(pydoc, "SIZES", SIZES)


def files(examples):
    names = [text.split(" file ")[1].split()[0] for text in examples.texts]
    return set(zip(names, examples.labels.tolist(), strict=True))


def test_balanced_splits_that_share_no_file(packages):
    data = load_pydoc()
    for split, size in SIZES.items():
        assert np.bincount(getattr(data, split).labels).tolist() == [size, size]
    train, validation, test = files(data.train), files(data.validation), files(data.test)
    assert not train & validation
    assert not (train | validation) & test
    assert not any("Test the" in text for text in data.train.texts)
    assert data.notes[0].startswith("docstrings of numpy ")


def test_the_seed_moves_train_and_validation_and_never_test(packages):
    one, same, other = load_pydoc(), load_pydoc(), load_pydoc(seed=1)
    assert one.fingerprint == same.fingerprint
    assert sorted(one.test.texts) == sorted(other.test.texts)
    assert sorted(one.validation.texts) != sorted(other.validation.texts)


def test_fewer_texts_make_smaller_but_balanced_splits(packages, monkeypatch):
    monkeypatch.setattr(pydoc, "SIZES", SIZES | {"train": 1000})
    counts = np.bincount(load_pydoc().train.labels)
    assert 40 < counts[0] == counts[1] < 80


def test_a_package_that_is_not_there(packages, monkeypatch):
    monkeypatch.setattr(pydoc, "PACKAGES", {"no_such_package": "none"})
    with pytest.raises(DataError, match="no_such_package is not installed"):
        load_pydoc()


def test_a_package_without_documentation(packages, monkeypatch):
    monkeypatch.setattr(pydoc, "FEWEST_QUOTES", 100)
    with pytest.raises(DataError, match="too few docstrings"):
        load_pydoc()


def test_the_installed_packages_repeat_nothing_and_tell_no_names(monkeypatch):
    monkeypatch.setattr(pydoc, "SIZES", {"test": 20, "validation": 10, "train": 30})
    data = load_pydoc()
    texts = data.train.texts + data.validation.texts + data.test.texts
    assert 6 * 30 <= len(texts) == len(set(texts))
    for name in ("numpy", "pandas", "scipy", "sklearn", "torch", "transformers", "hugging", "np.", "pd."):
        assert not [text for text in texts if name in text.lower()], name
