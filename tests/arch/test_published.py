import pytest

from subarch.arch.costs import flops, parameters
from subarch.arch.grid import BORT_SIZES, parse_sizes
from subarch.arch.published import PUBLISHED, TABLE_1, bort_architecture, counted_as_published

EXACT = {
    "bort": 75_106_304,
    "bert-base": 109_482_240,
    "bert-large": 335_141_888,
    "roberta-base": 124_645_632,
    "roberta-large": 355_359_744,
    "distilbert-base": 66_362_880,
    "electra-base": 108_891_648,
    "minilm-l6-h384": 22_713_216,
    "tinybert-4": 14_350_248,
    "modernbert-base": 149_014_272,
}


@pytest.mark.parametrize(("name", "number"), EXACT.items())
def test_known_checkpoints_have_their_exact_number(name, number):
    published = PUBLISHED[name]
    assert parameters(published.architecture, published.head).total == number


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers_are_explained_or_near(name):
    published = PUBLISHED[name]
    counted = parameters(published.architecture, published.head).total
    assert published.note or abs(counted - published.parameters) / published.parameters < 0.04


def test_bort_is_an_encoder_of_its_own_space():
    assert PUBLISHED["bort"].architecture == bort_architecture((4, 8, 1024, 768))
    assert parameters(bort_architecture((4, 8, 1024, 768)), "masked-lm").total == 76_208_217


@pytest.mark.parametrize(
    ("name", "length", "gigaflops"),
    [("bert-base", 128, 22.35), ("bort", 512, 27.9), ("roberta-large", 512, 335)],
)
def test_flops_are_those_of_the_literature(name, length, gigaflops):
    assert flops(PUBLISHED[name].architecture, length) / 1e9 == pytest.approx(gigaflops, rel=0.003)


def test_masked_lm_of_modernbert_is_the_published_fill_mask_model():
    assert parameters(PUBLISHED["modernbert-base"].architecture, "masked-lm").total == 149_655_232


REAL = {
    "A1 (Bort)": 75_106_304,
    "A2": 73_008_128,
    "A3": 73_008_128,
    "BERT-base": 124_052_736,
    "RoBERTa-large": 354_310_144,
}


@pytest.mark.parametrize("row", TABLE_1, ids=lambda row: row.name)
def test_table_1_by_its_real_sizes(row):
    assert parameters(row.architecture).total == REAL[row.name]


@pytest.mark.parametrize("row", TABLE_1[:3], ids=lambda row: row.name)
def test_table_1_counts_with_the_sizes_swapped(row):
    assert round(counted_as_published(row.architecture) / 1e6, 2) == row.parameters / 1e6
    # the sizes are those of the search space
    sizes = parse_sizes(BORT_SIZES)
    assert all(getattr(row.architecture, axis) in values for axis, values in sizes.items())
