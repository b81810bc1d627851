//! Text as it may be shown, whoever wrote it.

/// Stands for what cannot be shown, so that it is seen that something is missing.
pub(super) const REPLACEMENT: char = '\u{fffd}';

/// A text whose lines end with `\n`, without control characters and without the signs that make text read in another order than the one
/// in which it is written: "Total 001" must not be made to look like "Total 100".
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut signs = text.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '\r' => {
                signs.next_if_eq(&'\n');
                out.push('\n');
            }
            '\n' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push('\n'),
            '\t' => out.push(' '),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            // Not a character at all; HTML forbids it too.
            '\u{fdd0}'..='\u{fdef}' => out.push(REPLACEMENT),
            sign if sign.is_control() || u32::from(sign) & 0xfffe == 0xfffe => out.push(REPLACEMENT),
            sign => out.push(sign),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_text() {
        for (text, left) in [
            ("", ""),
            ("Łódź, Ελλάδα, Кириллица", "Łódź, Ελλάδα, Кириллица"),
            (
                "one\r\ntwo\rthree\nfour\u{2028}five",
                "one\ntwo\nthree\nfour\nfive",
            ),
            ("a\tb", "a b"),
            ("a\0b\u{1b}[31m\u{9c}", "a\u{fffd}b\u{fffd}[31m\u{fffd}"),
            ("Total \u{202e}001\u{202c}", "Total 001"),
            ("\u{ffff}", "\u{fffd}"),
            ("👩\u{200d}🔧", "👩\u{200d}🔧"),
        ] {
            assert_eq!(clean(text), left, "{text:?}");
        }
    }
}
