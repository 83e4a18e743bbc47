"""Draws the prompts of prompts.txt with the impasto program and puts them on one sheet.

What it is: the maker of docs/pictures/demo.png. Prompt number N is drawn with seed N, so that nobody chooses.
What it is not: a measure of quality (evaluate.py).
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

COLUMNS = 8
MARGIN = 12
CAPTION = 34
HERE = Path(__file__).resolve().parent


def draw(program, prompt, seed, file):
    """Has the program draw a prompt with the model inside it, as it does unasked: Euler, 20 steps, the model's guidance."""
    with tempfile.TemporaryDirectory() as data_root:
        options = ["--data-dir", data_root, "--seed", str(seed), "--force", "-o", file]
        subprocess.run([program, "txt2img", prompt, *options], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)


def wrap(draw, text, font, width):
    """At most two lines of the caption."""
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and draw.textlength(longer, font=font) > width:
            lines.append(line)
            line = word
        else:
            line = longer
    return "\n".join([*lines, line][:2])


def sheet(files, prompts):
    pictures = [Image.open(file).convert("RGB") for file in files]
    size = pictures[0].width
    rows = -(-len(pictures) // COLUMNS)
    canvas = Image.new("RGB", (MARGIN + COLUMNS * (size + MARGIN), MARGIN + rows * (size + CAPTION + MARGIN)), "white")
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=11)
    for index, (picture, prompt) in enumerate(zip(pictures, prompts)):
        left = MARGIN + index % COLUMNS * (size + MARGIN)
        top = MARGIN + index // COLUMNS * (size + CAPTION + MARGIN)
        canvas.paste(picture, (left, top))
        pen.multiline_text((left, top + size + 4), wrap(pen, prompt, font, size), fill=(70, 70, 70), font=font, spacing=2)
    return canvas


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="target/release/impasto", help="the impasto program")
    parser.add_argument("--prompts", type=Path, default=HERE.parent / "prompts.txt")
    parser.add_argument("--out", type=Path, default=HERE.parents[2] / "docs/pictures/demo.png")
    options = parser.parse_args()
    prompts = options.prompts.read_text().splitlines()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{seed:02}.png" for seed in range(1, len(prompts) + 1)]
        for seed, (prompt, file) in enumerate(zip(prompts, files), start=1):
            draw(options.program, prompt, seed, file)
        sheet(files, prompts).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
