import pytest

from stages import tiny
from subarch.errors import ConfigError, DataError
from subarch.tasks.corpus import inputs as corpus
from subarch.tasks.corpus import tokenizer_training
from subarch.tasks.corpus.documents import Reading
from subarch.tasks.corpus.inputs import find_sources
from subarch.tasks.corpus.tokenizer_training import train_tokenizer


@pytest.fixture
def sources(tmp_path):
    (tmp_path / "a.txt").write_text(
        "\n\n".join(tiny.sentences(200)[0]) + "\n\nna\u00efve \u4e2d\u56fd ##x [SEP] 5\u20ac"
    )
    return find_sources([str(tmp_path)])


def trained(family, sources, size):
    return train_tokenizer(tiny.tokenizer_of(family), sources, Reading(), size=size, sample_mb=1)


@pytest.mark.parametrize(("family", "size"), [("bert", 300), ("roberta", 600)])
def test_the_same_text_gives_the_same_vocabulary(family, size, sources):
    first = trained(family, sources, size)
    assert first == trained(family, sources, size) and len(first["model"]["vocab"]) == size
    assert len(first["added_tokens"]) == 5 and "garden" in " ".join(first["model"]["vocab"])


def test_the_alphabet_has_a_limit_and_keeps_what_is_frequent(sources, monkeypatch):
    monkeypatch.setattr(tokenizer_training, "MAX_ALPHABET", 20)
    vocabulary = trained("bert", sources, 120)["model"]["vocab"]
    single = {token for token in vocabulary if len(token) == 1}
    assert len(single) == 20 and {"e", "t", "a"} <= single and "\u4e2d" not in vocabulary
    assert "##e" in vocabulary


def test_it_samples_a_large_corpus_evenly(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "UNIT_BYTES", 10_000)
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number:02d}.txt").write_text(f"word{number} " * 14_000)
    texts = tokenizer_training._Texts(find_sources([str(folder)]), Reading(boundaries="file"), stride=4)
    found = {text.split()[0] for batch in texts for text in batch}
    assert texts.found and len(found) == 30


def test_what_cannot_be_trained(tmp_path, sources):
    with pytest.raises(ConfigError, match="standard input"):
        trained("bert", find_sources(["-"]), 300)
    with pytest.raises(ConfigError, match="the vocabulary has 30 tokens, fewer than"):
        trained("bert", sources, 30)
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match="has no text"):
        trained("bert", find_sources([str(tmp_path)]), 300)
