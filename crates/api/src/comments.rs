//! Comments in prompts: from `#` to the end of the line, without an escape. A line that is all comment goes as a whole.

/// A prompt without its comments.
pub(crate) fn without_comments(prompt: &str) -> String {
    if !prompt.contains('#') {
        return prompt.to_owned();
    }
    // A comment takes its line break with it and leaves one behind; one that fills its line takes both breaks.
    let mut kept = String::new();
    let mut rest = prompt;
    let mut line_start = true;
    while let Some(at) = rest.find(['#', '\n']) {
        let (before, found) = rest.split_at(at);
        kept.push_str(before);
        if found.starts_with('\n') {
            kept.push('\n');
            line_start = true;
            rest = &found[1..];
            continue;
        }
        let whole_line = line_start && before.is_empty();
        if !(whole_line && kept.ends_with('\n')) {
            kept.push('\n');
        }
        rest = found.split_once('\n').map_or("", |(_, after)| after);
        line_start = true;
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_and_lines_stay() {
        for (prompt, wanted) in [
            ("a cat", "a cat"),
            ("a cat # sleeping", "a cat \n"),
            ("a # x\nb", "a \nb"),
            ("a\n# x\nb", "a\nb"),
            ("# x\nb", "\nb"),
            ("a\\#b", "a\\\n"),
            ("#", "\n"),
        ] {
            assert_eq!(without_comments(prompt), wanted, "{prompt:?}");
        }
    }
}
