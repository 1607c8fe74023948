"""The dice: random enough, and the same however they are thrown."""

import numpy as np

from lmkit.uniforms import Uniforms


def splitmix64(key, k):
    """Steele, Lea and Flood (2014), in Python integers: the k-th number of a stream, k = 1, 2, ..."""
    mask = 2**64 - 1
    z = (key + k * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def test_numbers_are_splitmix64():
    source = Uniforms(np.array([7, 2**64 - 1], np.uint64))
    numbers = [source.bits().tolist() for _ in range(4)]
    assert numbers == [[splitmix64(7, k), splitmix64(2**64 - 1, k)] for k in (1, 2, 3, 4)]


def test_known_values_of_splitmix64():
    """The first outputs for seed 1234567, as published with the reference implementation (Vigna 2015)."""
    source = Uniforms(np.array([1234567], np.uint64))
    assert [int(source.bits()[0]) for _ in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_floats_are_uniform_and_below_one():
    source = Uniforms.from_generator(np.random.default_rng(1), 50)
    numbers = np.concatenate([source.floats() for _ in range(200)])
    assert numbers.min() >= 0 and numbers.max() < 1
    counts = np.histogram(numbers, 20, (0, 1))[0]
    assert ((counts - 500) ** 2 / 500).sum() < 60  # 19 degrees of freedom: one in 250,000


def test_first_streams_do_not_depend_on_how_many_there_are():
    few = Uniforms.from_generator(np.random.default_rng(9), 2)
    many = Uniforms.from_generator(np.random.default_rng(9), 5)
    np.testing.assert_array_equal(few.bits(), many.bits()[:2])


def test_a_copy_goes_its_own_way():
    source = Uniforms.from_generator(np.random.default_rng(2), 3)
    source.bits()
    twin = source.copy()
    expected = source.bits()
    source.bits()
    np.testing.assert_array_equal(twin.bits(), expected)
