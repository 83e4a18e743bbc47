"""Renders the emoji sets into one indexed cache of object pictures.

What it is: it reads concepts.tsv (character, name, synonyms), finds each concept in the five picture
sets that `npm install` fetched, renders them to RGBA, crops each to its object and writes
`objects.npz` (concept x style x height x width x 4, and which cells are filled).
What it is not: it makes no captions and no scenes; compose.py does.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

STYLES = ["noto", "blob", "fluent 3d", "flat", "twemoji"]
SVG_PACKAGES = {"noto": "noto", "blob": "noto-v1", "flat": "fluent-emoji-flat", "twemoji": "twemoji"}
RENDER_SIZE = 288
OBJECT_SIZE = 160
HERE = Path(__file__).parent


def read_concepts(path=HERE / "concepts.tsv"):
    """List of (code points joined by '-', [name, synonyms...]) in file order."""
    concepts = []
    for line in path.read_text(encoding="utf-8").splitlines():
        character, *names = line.split("\t")
        points = [f"{ord(c):04x}" for c in character if ord(c) != 0xFE0F]
        concepts.append(("-".join(points), names))
    return concepts


def icon_svg(icon_set, name):
    """Complete SVG text of one icon of an Iconify set, aliases followed."""
    while name in icon_set.get("aliases", {}):
        name = icon_set["aliases"][name]["parent"]
    icon = icon_set["icons"].get(name)
    if icon is None:
        return None
    left, top = icon.get("left", icon_set.get("left", 0)), icon.get("top", icon_set.get("top", 0))
    width = icon.get("width", icon_set.get("width", 16))
    height = icon.get("height", icon_set.get("height", 16))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>')


def svg_jobs(modules, concepts, style):
    """(concept index, svg text) for every concept that the style's set holds."""
    folder = modules / "@iconify-json" / SVG_PACKAGES[style]
    icon_set = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
    # The older Noto set has no table of code points, but it shares the newer set's names.
    table = folder / "chars.json" if style != "blob" else modules / "@iconify-json" / "noto" / "chars.json"
    names = {code.replace("-fe0f", ""): name for code, name in json.loads(table.read_text()).items()}
    for index, (code, _) in enumerate(concepts):
        svg = icon_svg(icon_set, names[code]) if code in names else None
        if svg is not None:
            yield index, svg


def render_svgs(modules, jobs, folder):
    """Renders jobs to folder/INDEX.png, restarting the renderer after a picture that ends it."""
    jobs = list(jobs)
    while jobs:
        lines = "".join(json.dumps({"number": n, "svg": svg, "png": str(folder / f"{index}.png")}) + "\n"
                        for n, (index, svg) in enumerate(jobs))
        child = subprocess.run(["node", str(HERE / "render.mjs"), str(modules), str(RENDER_SIZE)],
                               input=lines, capture_output=True, text=True, check=False)
        done = len(child.stdout.split())
        if done < len(jobs):
            print(f"skipped: the renderer failed on concept {jobs[done][0]}: {child.stderr[-200:]}")
        jobs = jobs[done + 1:]


def crop_to_object(picture):
    """Square RGBA picture of OBJECT_SIZE in which the object fills the frame."""
    box = picture.getchannel("A").point(lambda a: 255 if a > 12 else 0).getbbox()
    picture = picture.crop(box)
    side = max(picture.size)
    square = Image.new("RGBA", (side, side))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square.resize((OBJECT_SIZE, OBJECT_SIZE), Image.Resampling.LANCZOS)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modules", type=Path, default=Path("node_modules"), help="npm's folder")
    parser.add_argument("--out", type=Path, default=Path("objects.npz"))
    options = parser.parse_args()
    modules = options.modules.resolve()

    concepts = read_concepts()
    pictures = np.zeros((len(concepts), len(STYLES), OBJECT_SIZE, OBJECT_SIZE, 4), np.uint8)
    filled = np.zeros((len(concepts), len(STYLES)), bool)
    for number, style in enumerate(STYLES):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            if style == "fluent 3d":
                folder = modules / "@lobehub" / "fluent-emoji-3d" / "assets"
                files = {path.stem.replace("-fe0f", ""): path for path in folder.glob("*.webp")}
            else:
                render_svgs(modules, svg_jobs(modules, concepts, style), folder)
                by_index = {path.stem: path for path in folder.glob("*.png")}
                files = {code: by_index.get(str(i)) for i, (code, _) in enumerate(concepts)}
            for index, (code, _) in enumerate(concepts):
                if files.get(code) is not None:
                    picture = Image.open(files[code]).convert("RGBA")
                    pictures[index, number] = np.asarray(crop_to_object(picture))
                    filled[index, number] = True
        missing = [concepts[i][1][0] for i in np.flatnonzero(~filled[:, number])]
        print(f"{style}: {filled[:, number].sum()} of {len(concepts)}; missing: {', '.join(missing)}")
    np.savez_compressed(options.out, pictures=pictures, filled=filled)


if __name__ == "__main__":
    main()
