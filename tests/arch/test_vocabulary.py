import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, BertTokenizer, PreTrainedTokenizerFast, RobertaTokenizer

from subarch.arch.vocabulary import cut_special_ids, cut_tokenizer, cut_tokenizer_files, keep_tokens
from subarch.errors import ConfigError, ModelError

CORPUS = [
    "the weather was wonderful and the whole weather report was wonderfully wrong",
    "a report on the reporters who were reporting whether the weather mattered",
    "nothing matters more than mother and father, rather than brothers or others",
]
FEW = ["the weather was wonderful", "the others were rather wrong"]
BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def wordpiece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    # as in BERT's own vocabularies, unused entries come before the specials
    special = ["[PAD]", "[unused0]", "[unused1]", "[unused2]", *BERT_SPECIAL[1:]]
    trainer = trainers.WordPieceTrainer(vocab_size=160, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    saved = json.loads(tokenizer.to_str())
    saved["added_tokens"] = [token for token in saved["added_tokens"] if "unused" not in token["content"]]
    tokenizer = Tokenizer.from_str(json.dumps(saved))
    ids = [("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    return tokenizer


def byte_level_bpe():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=ROBERTA_SPECIAL[:4],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens(["<mask>"])
    tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), processors.RobertaProcessing(("</s>", 2), ("<s>", 0))]
    )
    return tokenizer


KINDS = {"WordPiece": wordpiece(), "BPE": byte_level_bpe()}


def counts_of(tokenizer, texts):
    return Counter(index for text in texts for index in tokenizer.encode(text).ids)


def cut(tokenizer, counts, size):
    saved = json.loads(tokenizer.to_str())
    kept = keep_tokens(saved, counts, size)
    return kept, Tokenizer.from_str(json.dumps(cut_tokenizer(saved, kept)))


def smallest(tokenizer):
    """The number of tokens that are kept in any case."""
    return len(keep_tokens(json.loads(tokenizer.to_str()), {}, 0))


@pytest.mark.parametrize("kind", KINDS)
def test_texts_of_seen_tokens_encode_as_before(kind):
    full = KINDS[kind]
    size = smallest(full) + 40
    assert size < full.get_vocab_size()
    kept, small = cut(full, counts_of(full, FEW), size)
    assert small.get_vocab_size() == len(kept) == size
    new_id = {old: new for new, old in enumerate(kept)}
    for text in FEW:
        assert small.encode(text).ids == [new_id[index] for index in full.encode(text).ids]
        assert small.encode(text).tokens == full.encode(text).tokens


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(words=st.lists(st.sampled_from(sorted({word for text in CORPUS for word in text.split()})), min_size=1))
def test_texts_whose_tokens_are_kept_encode_as_before(kind, words):
    full = KINDS[kind]
    kept, small = cut(full, counts_of(full, FEW), smallest(full) + 40)
    new_id = {old: new for new, old in enumerate(kept)}
    before = full.encode(" ".join(words))
    if all(index in new_id for index in before.ids):
        assert small.encode(" ".join(words)).ids == [new_id[index] for index in before.ids]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("extra", [0, 7, 10_000])
@settings(max_examples=25, deadline=None, derandomize=True)
@given(text=st.text(alphabet=st.characters(codec="utf-8"), max_size=20) | st.sampled_from(CORPUS))
def test_any_text_still_encodes_to_what_it_says(kind, extra, text):
    full = KINDS[kind]
    _, small = cut(full, {}, smallest(full) + extra)
    assert small.decode(small.encode(text).ids) == full.decode(full.encode(text).ids)


@pytest.mark.parametrize("kind", KINDS)
def test_special_and_added_tokens_are_kept_in_order(kind):
    full = KINDS[kind]
    full_special = sorted(json.loads(full.to_str())["added_tokens"], key=lambda token: token["id"])
    _, small = cut(full, {}, 0)
    special = json.loads(small.to_str())["added_tokens"]
    assert [token["content"] for token in special] == [token["content"] for token in full_special]
    for token in special:
        assert small.token_to_id(token["content"]) == token["id"] < small.get_vocab_size()
    assert small.encode("a").tokens == full.encode("a").tokens
    assert small.encode("a", "a").type_ids == full.encode("a", "a").type_ids


@pytest.mark.parametrize("kind", KINDS)
def test_the_most_frequent_tokens_win_when_not_all_fit(kind):
    full = KINDS[kind]
    seen = counts_of(full, CORPUS)
    saved = json.loads(full.to_str())
    always = set(keep_tokens(saved, {}, 0))
    kept = set(keep_tokens(saved, seen, len(always) + 25)) - always
    assert len(kept) == 25
    favourite = max((index for index in seen if index not in always), key=lambda index: (seen[index], -index))
    assert favourite in kept
    rare = {index for index, count in seen.items() if count == 1 and index not in always}
    assert rare - kept


def test_merges_keep_the_parts_they_need():
    full = KINDS["BPE"]
    saved = json.loads(full.to_str())
    size = smallest(full) + 30
    model = cut_tokenizer(saved, keep_tokens(saved, counts_of(full, FEW), size))["model"]
    made = {"".join(merge) for merge in model["merges"]}
    for left, right in model["merges"]:
        assert {left, right, left + right} <= model["vocab"].keys()
    for token in model["vocab"]:
        assert len(token) == 1 or token in ROBERTA_SPECIAL or token in made, token


def test_merges_written_as_one_string_are_read():
    saved = json.loads(KINDS["BPE"].to_str())
    old = json.loads(json.dumps(saved))
    old["model"]["merges"] = [" ".join(merge) for merge in saved["model"]["merges"]]
    kept = keep_tokens(saved, counts_of(KINDS["BPE"], FEW), 300)
    assert keep_tokens(old, counts_of(KINDS["BPE"], FEW), 300) == kept
    new = cut_tokenizer(old, kept)
    assert [tuple(merge.split(" ")) for merge in new["model"]["merges"]] == [
        tuple(merge) for merge in cut_tokenizer(saved, kept)["model"]["merges"]
    ]


def test_unused_entries_are_filled_last():
    full = KINDS["WordPiece"]
    saved = json.loads(full.to_str())
    unused = {full.token_to_id(f"[unused{number}]") for number in range(3)}
    total = full.get_vocab_size()
    assert not unused & set(keep_tokens(saved, {}, total - 3))
    assert keep_tokens(saved, {}, total - 1) == sorted(set(range(total)) - {max(unused)})
    assert keep_tokens(saved, {}, total + 5) == list(range(total))


@pytest.mark.parametrize("kind", KINDS)
def test_keeping_everything_changes_nothing(kind):
    saved = json.loads(KINDS[kind].to_str())
    assert cut_tokenizer(saved, range(KINDS[kind].get_vocab_size())) == saved


def test_padding_and_bert_processing_are_renumbered():
    full = wordpiece()
    ids = {name: full.token_to_id(name) for name in BERT_SPECIAL}
    full.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    full.enable_padding(pad_id=ids["[MASK]"], pad_token="[MASK]", length=9)
    _, small = cut(full, {}, 0)
    encoded = small.encode("a").ids
    assert encoded[0] == small.token_to_id("[CLS]") != ids["[CLS]"]
    assert encoded[-1] == small.token_to_id("[MASK]") and len(encoded) == 9


@pytest.mark.parametrize(
    "make",
    [
        lambda path: BertTokenizer(vocab=KINDS["WordPiece"].get_vocab()),
        lambda path: RobertaTokenizer(
            vocab=KINDS["BPE"].get_vocab(),
            merges=[tuple(merge) for merge in json.loads(KINDS["BPE"].to_str())["model"]["merges"]],
        ),
        lambda path: PreTrainedTokenizerFast(tokenizer_object=KINDS["BPE"], pad_token="<pad>", mask_token="<mask>"),
    ],
    ids=["bert", "roberta", "fast"],
)
def test_a_saved_folder_loads_and_encodes_the_same(make, tmp_path):
    full = make(tmp_path)
    full.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("stale")
    saved = json.loads((tmp_path / "tokenizer.json").read_text())
    counts = Counter(index for text in FEW for index in full(text)["input_ids"])
    kept = keep_tokens(saved, counts, len(keep_tokens(saved, {}, 0)) + 40)
    cut_tokenizer_files(tmp_path, kept)
    small = AutoTokenizer.from_pretrained(tmp_path)
    assert type(small) is type(full)
    assert not (tmp_path / "vocab.txt").exists()
    assert len(small) == len(kept) < len(full)
    new_id = {old: new for new, old in enumerate(kept)}
    for text in FEW:
        assert small(text)["input_ids"] == [new_id[index] for index in full(text)["input_ids"]]
    assert small.pad_token_id == new_id[full.pad_token_id]
    assert small.mask_token_id == new_id[full.mask_token_id]
    assert small.decode(small(CORPUS[2])["input_ids"]) == full.decode(full(CORPUS[2])["input_ids"])


def test_added_tokens_of_older_configs_are_renumbered(tmp_path):
    PreTrainedTokenizerFast(tokenizer_object=KINDS["BPE"], pad_token="<pad>").save_pretrained(tmp_path)
    settings_path = tmp_path / "tokenizer_config.json"
    settings = json.loads(settings_path.read_text())
    mask = KINDS["BPE"].token_to_id("<mask>")
    settings["added_tokens_decoder"] = {str(mask): {"content": "<mask>", "special": True}}
    settings_path.write_text(json.dumps(settings))
    kept = keep_tokens(json.loads((tmp_path / "tokenizer.json").read_text()), {}, 0)
    cut_tokenizer_files(tmp_path, kept)
    decoder = json.loads(settings_path.read_text())["added_tokens_decoder"]
    assert list(decoder) == [str(kept.index(mask))]
    assert len(AutoTokenizer.from_pretrained(tmp_path)) == len(kept)


def test_special_ids_of_a_config_are_renumbered():
    config = {
        "model_type": "bert",
        "pad_token_id": 0,
        "cls_token_id": 7,
        "eos_token_id": [7, 9],
        "bos_token_id": 3,
    }
    config |= {"sep_token_id": None, "hidden_size": 9}
    assert cut_special_ids(config, [0, 7, 9]) == config | {
        "cls_token_id": 1,
        "eos_token_id": [1, 2],
        "bos_token_id": None,
    }


def test_positions_that_hang_on_the_padding_id_forbid_moving_it():
    config = {"model_type": "roberta", "pad_token_id": 1}
    assert cut_special_ids(config, [0, 1, 5])["pad_token_id"] == 1
    with pytest.raises(ModelError, match="would move from id 1 to 0"):
        cut_special_ids(config, [1, 5])


def test_a_vocabulary_that_cannot_be_cut_is_refused():
    unigram = json.loads(Tokenizer(models.Unigram([("a", 0.0)], unk_id=0)).to_str())
    suffixed = json.loads(Tokenizer(models.BPE(vocab={"a</w>": 0}, merges=[], end_of_word_suffix="</w>")).to_str())
    for saved, message in ((unigram, "Unigram"), (suffixed, "parts of words")):
        with pytest.raises(ModelError, match=message):
            keep_tokens(saved, {}, 10)
        with pytest.raises(ModelError, match=message):
            cut_tokenizer(saved, [0])


def test_ids_that_do_not_exist_are_refused():
    saved = json.loads(KINDS["BPE"].to_str())
    with pytest.raises(ConfigError, match="counted token id 9999"):
        keep_tokens(saved, {9999: 1}, 300)
    with pytest.raises(ConfigError, match="cannot keep token id 9999"):
        cut_tokenizer(saved, [*range(100), 9999])
    with pytest.raises(ConfigError, match="cannot drop the added token '</s>'"):
        cut_tokenizer(saved, [0, 1])


@pytest.mark.data
@pytest.mark.skipif("SUBARCH_DATA" not in os.environ, reason="SUBARCH_DATA is not set")
@pytest.mark.parametrize("name", ["bert-base-uncased", "roberta-base"])
def test_real_vocabularies(name):
    root = Path(os.environ["SUBARCH_DATA"])
    folder = root / "tokenizers" / name
    if name.startswith("bert"):
        words = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
        full = BertTokenizer(vocab={word: index for index, word in enumerate(words)})
    else:
        merges = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
        vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        full = RobertaTokenizer(vocab=vocab, merges=[tuple(merge.split(" ")) for merge in merges if merge])
    rows = (root / "GLUE" / "SST-2" / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    texts = [row.split("\t")[0] for row in rows]
    encoded = full(texts)["input_ids"]
    counts = Counter(index for ids in encoded for index in ids)
    saved = json.loads(full.backend_tokenizer.to_str())
    kept = keep_tokens(saved, counts, 12_000)
    assert len(kept) == 12_000
    small = Tokenizer.from_str(json.dumps(cut_tokenizer(saved, kept)))
    new_id = {old: new for new, old in enumerate(kept)}
    for text, ids in zip(texts, encoded, strict=True):
        assert small.encode(text).ids == [new_id[index] for index in ids]
