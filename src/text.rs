//! Texts of others, made fit to be shown: in one line, and not too long.

/// A text without its middle, where it is half as long again as what is kept of its start and its end.
#[must_use]
pub fn without_middle(text: &str, start: usize, end: usize) -> String {
    if text.len() <= (start + end) * 3 / 2 {
        return text.to_owned();
    }
    let (first, last) = (text.floor_char_boundary(start), text.ceil_char_boundary(text.len() - end));
    format!("{} ... {}", &text[..first], &text[last..])
}

/// A text without line breaks and other control characters, and without its middle where it is very long.
#[must_use]
pub fn in_a_line(text: &str) -> String {
    let mut line = String::new();
    for character in text.chars() {
        if character.is_control() { line.extend(character.escape_default()) } else { line.push(character) }
    }
    without_middle(&line, 500, 250)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_its_ends() {
        let text = format!("ProjectionExec {} metrics=[rows=1]", "é".repeat(4000));
        let short = without_middle(&text, 1500, 1500);
        assert!(
            short.len() < 3100
                && short.starts_with("ProjectionExec é")
                && short.ends_with("é metrics=[rows=1]")
        );
        assert_eq!(without_middle("SortExec", 1500, 1500), "SortExec");
    }

    #[test]
    fn a_text_stays_in_its_line() {
        assert_eq!(in_a_line("a\nb\u{1b}[31mc"), "a\\nb\\u{1b}[31mc");
        assert!(in_a_line(&"x".repeat(100_000)).len() < 800);
    }
}
