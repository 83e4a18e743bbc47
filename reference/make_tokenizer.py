"""Writes goldens/tokenizer.json: token ids and byte offsets of awkward texts, from transformers' CLIPTokenizer."""

import json
import unicodedata
from pathlib import Path

from clip_vocabulary import MERGES, tokenizer

TEXTS = [
    "",
    " ",
    "a red apple on a blue background",
    "A Person RIDING a motorcycle, 8k, (masterpiece:1.2), [ugly]",
    "it's we've I'M they'll he'd don't 're 'S ''s '''",
    "don’t “quote” – em—dash…",
    "Café café ÀÉÎÕÜ naïve Ångström Å ﬁ ﬀ ß ẞ",
    "e\u0301 E\u0301\u0323 \u0301a a\u0308\u0304 q\u0307\u0323 s\u0323\u0307",
    "ΣΊΣΥΦΟΣ ὈΔΥΣΣΕΎΣ İstanbul ıI ǅ",
    "你好世界 漢字かな交じり文 カタカナ ﾊﾝｶｸ 안녕하세요 각",
    "हिन्दी தமிழ் ภาษาไทย עברית العربية \u0958",
    "🦀 😀😂🤣 👩‍👩‍👧‍👦 🇩🇪 ❤️ 👍🏽 ☃",
    "Ｆｕｌｌ　ｗｉｄｔｈ　１２３！",
    "12345 1,000.50 ½ ² Ⅷ ٣ 一二三",
    "tab\tnew\nline\r\nvt\x0bff\x0cnbsp\u00a0thin\u2009ideographic\u3000next\u0085line\u2028sep",
    "control\x01\x02\x07\x1b[31m\x7f\x80\x9f zero\u200bwidth\u200d bom\ufeff soft\u00adhyphen",
    "null\x00inside \ufffd replacement \ufffd\ufffd",
    "<|endoftext|> <|startoftext|>begin<|endoftext|> !<|endoftext|>! <|ENDOFTEXT|> <|endoftext| <|<|endoftext|>",
    "<start_of_text> <end_of_text>",
    "donaudampfschifffahrtsgesellschaftskapitänsmütze",
    "a" * 300,
    "ha" * 150,
    "!" * 200 + "?" * 50,
    "http://example.com/a_b-c?d=e&f#g C:\\path\\file.png user@host",
    "snake_case camelCase kebab-case x=1+2*3/4%5^6~7`8",
    "\U00010400\U00010428 \U0001d400 \U000e0041 \U0010ffff \ue000",
    "á" * 100 + "́" * 20,
]


def golden(merges):
    encoder = tokenizer(merges)
    rows = []
    for text in TEXTS:
        encoding = encoder(text, add_special_tokens=False, return_offsets_mapping=True)
        starts = [0]
        for character in text:
            starts.append(starts[-1] + len(character.encode("utf-8")))
        offsets = [[starts[a], starts[b]] for a, b in encoding["offset_mapping"]]
        row = {"text": text, "ids": encoding["input_ids"]}
        # Ours give a letter and its combining marks the same bytes; transformers tells some of them apart.
        if not any(unicodedata.combining(character) for character in unicodedata.normalize("NFD", text)):
            row["offsets"] = offsets
        rows.append(row)
    return {"merges": merges, "rows": rows}


if __name__ == "__main__":
    path = Path(__file__).parent.parent / "goldens" / "tokenizer.json"
    path.write_text(json.dumps([golden(merges) for merges in (0, 62, 8000, MERGES)], separators=(",", ":")))
    print(path, path.stat().st_size)
