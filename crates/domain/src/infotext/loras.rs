//! Tags of adapters in prompts of others, under whose names the files may be called otherwise here. Hashes tell them.

use std::collections::BTreeMap;

const TAG: &str = "<lora:";

/// The prompt with each tag of an adapter named as `here` names the file of its hash, which `hashes` has by the tag's name:
/// `name: 0123456789ab, other: ...`. Others stay as they are.
pub(super) fn renamed(prompt: &str, hashes: &str, here: &BTreeMap<String, String>) -> String {
    let pairs = hashes.split(',').filter_map(|pair| pair.split_once(':'));
    let hashes: BTreeMap<&str, &str> = pairs.map(|(name, hash)| (name.trim(), hash.trim())).collect();
    let mut parts = prompt.split(TAG);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(TAG);
        let end = part.find([':', '>']).unwrap_or(0);
        let (name, rest) = part.split_at(end);
        let found = hashes.get(name).and_then(|hash| here.get(*hash));
        text.push_str(found.map_or(name, String::as_str));
        text.push_str(rest);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_named_as_the_files_are_here() {
        let here = [("0123456789ab", "mine"), ("ffffffffffff", "other")];
        let here: BTreeMap<String, String> =
            here.into_iter().map(|(hash, name)| (hash.to_owned(), name.to_owned())).collect();
        let hashes = "theirs: 0123456789ab, unknown: 000000000000, odd";
        for (prompt, wanted) in [
            ("a <lora:theirs:0.5> b<lora:theirs>", "a <lora:mine:0.5> b<lora:mine>"),
            ("<lora:unknown:1><lora:odd:1><lora:none:1>", "<lora:unknown:1><lora:odd:1><lora:none:1>"),
            ("<lora:", "<lora:"),
            ("a theirs: b <hypernet:theirs:1>", "a theirs: b <hypernet:theirs:1>"),
            ("", ""),
        ] {
            assert_eq!(renamed(prompt, hashes, &here), wanted);
        }
    }
}
