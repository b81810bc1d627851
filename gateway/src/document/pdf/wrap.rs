//! Text, broken into lines.

use super::{face::Faces, sheet::Style};
use crate::document::clean::{REPLACEMENT, clean};

/// By how much a line may be too wide: sums of widths are rounded one way for a text and another way for its words.
const SLACK: f32 = 0.05;

/// The lines of a text, none wider than `width` unless one character is. Lines end between words, and within a word that is wider than a
/// line. Several spaces are one, as in HTML.
pub(super) fn wrap(faces: &Faces, style: Style, text: &str, width: f32) -> Vec<String> {
    let text = printable(faces, style, text);
    if text.is_empty() {
        return Vec::new();
    }
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = Line::default();
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            let wide = faces.width(style, word);
            let space = if line.text.is_empty() {
                0.0
            } else {
                faces.advance(style, ' ')
            };
            if line.width + space + wide <= width + SLACK {
                line.add(if space > 0.0 { " " } else { "" }, space);
                line.add(word, wide);
                continue;
            }
            if !line.text.is_empty() {
                lines.push(line.take());
            }
            break_word(faces, style, word, width, &mut line, &mut lines);
        }
        lines.push(line.text);
    }
    lines
}

/// A text in one line, with an ellipsis in place of what does not fit.
pub(super) fn cut(faces: &Faces, style: Style, text: &str, width: f32) -> String {
    let text = printable(faces, style, text).replace('\n', " ");
    if faces.width(style, &text) <= width {
        return text;
    }
    let mut left = width - faces.advance(style, '…');
    let mut out = String::new();
    for sign in text.chars() {
        left -= faces.advance(style, sign);
        if left < 0.0 {
            break;
        }
        out.push(sign);
    }
    out.push('…');
    out
}

/// A line that is being filled.
#[derive(Default)]
struct Line {
    /// What is in it.
    text: String,
    /// How wide that is.
    width: f32,
}

impl Line {
    /// Adds to it.
    fn add(&mut self, text: &str, width: f32) {
        self.text.push_str(text);
        self.width += width;
    }

    /// Ends it, and begins the next.
    fn take(&mut self) -> String {
        std::mem::take(self).text
    }
}

/// Puts a word at the start of a line and breaks it where the line ends. A sign on another one is not parted from it.
fn break_word(faces: &Faces, style: Style, word: &str, width: f32, line: &mut Line, lines: &mut Vec<String>) {
    for sign in word.chars() {
        let wide = faces.advance(style, sign);
        if wide > 0.0 && line.width > 0.0 && line.width + wide > width + SLACK {
            lines.push(line.take());
        }
        line.text.push(sign);
        line.width += wide;
    }
}

/// A text as it can be drawn: what is never seen is left out, and what the font lacks is replaced here already, so that who copies it out
/// of the PDF gets what stands there.
fn printable(faces: &Faces, style: Style, text: &str) -> String {
    clean(text)
        .chars()
        .filter(|sign| !is_unseen(*sign))
        .map(|sign| match sign {
            '\n' => sign,
            // The hyphen at which no line ends: it looks like the other, and here none does.
            '\u{2011}' => '\u{2010}',
            sign if faces.has(style, sign) => sign,
            _ => REPLACEMENT,
        })
        .collect()
}

/// Whether a character only says how others are to be joined or broken.
fn is_unseen(sign: char) -> bool {
    matches!(sign, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::{super::sheet::BODY, *};

    fn faces() -> Faces {
        Faces::read().unwrap()
    }

    #[test]
    fn lines_end_between_words() {
        let faces = faces();
        let width = faces.width(BODY, "one two");
        assert_eq!(wrap(&faces, BODY, "one two  three", width), ["one two", "three"]);
        assert_eq!(wrap(&faces, BODY, "one\n\ntwo", width), ["one", "", "two"]);
        assert_eq!(wrap(&faces, BODY, "", width), [""; 0]);
        assert_eq!(wrap(&faces, BODY, "a ", width), ["a"]);
    }

    #[test]
    fn what_was_measured_fits() {
        let faces = faces();
        for count in 1..200 {
            let text = format!("{count} 234 567,89 kr per {count} requests of 1,000 each");
            assert_eq!(wrap(&faces, BODY, &text, faces.width(BODY, &text)), [text]);
        }
    }

    #[test]
    fn a_long_word_is_broken() {
        let faces = faces();
        let width = faces.width(BODY, "mmmm");
        assert_eq!(
            wrap(&faces, BODY, "a mmmmmmmmm b", width),
            ["a", "mmmm", "mmmm", "m b"]
        );
        // A width in which nothing fits still gives an end.
        assert_eq!(wrap(&faces, BODY, "ab", 0.0), ["a", "b"]);
    }

    #[test]
    fn what_cannot_be_drawn_is_seen() {
        let faces = faces();
        let alone = |text: &str| wrap(&faces, BODY, text, 1e6).concat();
        assert_eq!(alone("Łódź Ελλάδα Кириллица €₴–…"), "Łódź Ελλάδα Кириллица €₴–…");
        assert_eq!(
            alone("1\u{202f}234\u{a0}kr co\u{2011}op"),
            "1\u{202f}234\u{a0}kr co‐op"
        );
        assert_eq!(alone("株式会社"), "����");
        assert_eq!(alone("👩\u{200d}🔧"), "��");
        assert_eq!(alone("a\0b\u{ad}c\u{202e}d"), "a�bcd");
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        let faces = faces();
        let width = faces.width(BODY, "abc…");
        assert_eq!(cut(&faces, BODY, "abc", width), "abc");
        assert_eq!(cut(&faces, BODY, "abcdefg", width), "abc…");
        assert_eq!(cut(&faces, BODY, "a\nb", width), "a b");
    }
}
