//! Comments in prompts: from `#` to the end of the line, without an escape. What is left of the line breaks around them is
//! as A1111 leaves it, since infotexts show it.

use regex::Regex;
use std::sync::LazyLock;

/// First comments that fill a line, then the others; each leaves one line break.
static COMMENTS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [r"(?:^|\n)#[^\n]*(?:\n|$)", r"#[^\n]*(?:\n|$)"]
        .iter()
        .filter_map(|pattern| Regex::new(pattern).ok())
        .collect()
});

/// A prompt without its comments.
pub fn without_comments(prompt: &str) -> String {
    COMMENTS.iter().fold(prompt.to_owned(), |prompt, comment| comment.replace_all(&prompt, "\n").into_owned())
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
            ("a\n# x\n# y\nb", "a\n\nb"),
            ("# x\nb", "\nb"),
            ("a\\#b", "a\\\n"),
            ("#", "\n"),
        ] {
            assert_eq!(without_comments(prompt), wanted, "{prompt:?}");
        }
    }
}
