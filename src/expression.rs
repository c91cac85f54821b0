//! What is refused of a SQL expression before it is parsed.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// More parts than any nested field has.
const MOST_PARTS: usize = 16;

/// What is wrong with an expression that the parser would be at for hours: where something does not fit behind a dotted name, it tries
/// each of its dots in two ways, one within the other.
pub fn endless(text: &str) -> Option<&'static str> {
    (parts_of_longest_name(text) > MOST_PARTS).then_some("has a name of more than 16 parts")
}

/// How many parts the longest dotted name has, whatever stands in brackets between them.
fn parts_of_longest_name(text: &str) -> usize {
    let (mut longest, mut parts, mut after_word) = (0, 0, false);
    for token in Tokenizer::new(&GenericDialect {}, text).tokenize().unwrap_or_default() {
        match token {
            Token::Period => {
                parts += 1;
                longest = longest.max(parts);
                after_word = false;
            }
            Token::Word(_) => {
                // two words side by side are of two names
                parts = if after_word || parts == 0 { 1 } else { parts };
                after_word = true;
            }
            Token::Whitespace(_) => {}
            Token::LBracket | Token::RBracket | Token::Number(_, _) | Token::SingleQuotedString(_) => {
                after_word = false;
            }
            _ => (parts, after_word) = (0, false),
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_the_longest_name_are_counted() {
        for (text, expected) in [
            ("amount > 1.5", 0),
            ("a.b = c.d.e AND f.g IS NULL", 3),
            ("a[1].b['x'].c", 3),
            ("a.b + a.b + a.b", 2),
            ("'a.b.c.d", 0),
        ] {
            assert_eq!(parts_of_longest_name(text), expected, "{text}");
        }
    }
}
