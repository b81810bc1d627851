//! A document as a PDF on A4: measured ([`face`]), broken into lines ([`wrap`]), put into blocks ([`blocks`]), the blocks onto pages
//! ([`flow`]), the pages drawn ([`draw`]).
//!
//! The font is Noto Sans, version 1.04, regular and bold: Latin with all its extensions, Greek and Cyrillic. It comes with the crate
//! `ttf-noto-sans` under the Apache License 2.0; a PDF has in it only the glyphs that it shows. Glyphs stand one beside another as they
//! are, without kerning and ligatures, which these three alphabets can do without; no two characters share a glyph, so what is copied out
//! of the PDF is what was said. What the font lacks (Hebrew, Arabic, Chinese, pictures) is shown as `�`.

mod blocks;
mod draw;
mod face;
mod flow;
mod sheet;
mod strip;
mod table;
#[cfg(test)]
mod tests;
mod wrap;

use self::face::Faces;
use super::Document;

/// Why there is no PDF. No document leads to it, only a build whose font or library is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unprintable {
    /// The font cannot be read.
    #[error("the font cannot be read")]
    Font,
    /// The PDF cannot be put together.
    #[error("the PDF cannot be written: {0}")]
    Written(String),
}

/// The PDF. The same document gives the same bytes.
///
/// # Errors
/// The font or the library that writes PDFs is broken.
pub fn pdf(document: &Document) -> Result<Vec<u8>, Unprintable> {
    let faces = Faces::read().ok_or(Unprintable::Font)?;
    let pages = flow::pages(
        blocks::blocks(&faces, document),
        &table::head(&faces, &document.rows),
    );
    draw::draw(&faces, document, &pages)
}
