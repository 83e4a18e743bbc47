"""Writes goldens/hidden_embedding.png, a picture with an embedding of two vectors in its pixels, as AUTOMATIC1111 hides it there. Its vectors are
element i of vector v = (i - 16) / 16 + v."""

import json
import zlib

import numpy
from PIL import Image

from make_models import GOLDENS

WIDTH = 32


def sequence(count):
    state, numbers = 0, []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        numbers.append(state % 255)
    return numpy.array(numbers, dtype=numpy.uint8)


def block(nibbles, height, style):
    columns = -(-len(nibbles) // (3 * height))
    values = numpy.resize(nibbles, 3 * height * columns)
    values = values ^ (sequence(len(values)) & 15)
    values |= style.integers(1, 16, len(values), dtype=numpy.uint8) << 4
    return values.reshape(height, columns, 3)


def main():
    vectors = [[(i - 16) / 16 + v for i in range(WIDTH)] for v in range(2)]
    told = {"name": "hidden", "step": 7, "sd_checkpoint": "abcd", "string_to_param": {"*": {"TORCHTENSOR": vectors}}}
    data = numpy.frombuffer(zlib.compress(json.dumps(told).encode(), level=9), dtype=numpy.uint8)
    random = numpy.random.default_rng(5)
    height = 24
    picture = random.integers(16, 256, (height, 20, 3), dtype=numpy.uint8)
    black = numpy.zeros((height, 1, 3), dtype=numpy.uint8)
    parts = [block(data & 15, height, random), black, picture, black, block(data >> 4, height, random)]
    Image.fromarray(numpy.concatenate(parts, axis=1)).save(GOLDENS / "hidden_embedding.png")


if __name__ == "__main__":
    main()
