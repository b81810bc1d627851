//! The fonts, and how wide text is in them.

use krilla::text::{Font, GlyphId, KrillaGlyph};
use skrifa::{
    FontRef, MetadataProvider,
    charmap::Charmap,
    instance::{LocationRef, Size},
    metrics::GlyphMetrics,
};

use super::sheet::Style;
use crate::document::clean::REPLACEMENT;

/// Both weights.
pub(super) struct Faces {
    /// Most of it.
    regular: Face,
    /// What stands out.
    bold: Face,
}

/// One weight.
struct Face {
    /// As it is embedded.
    font: Font,
    /// Which glyph a character has.
    glyphs: Charmap<'static>,
    /// How wide each is, in [`Face::em`]s.
    metrics: GlyphMetrics<'static>,
    /// Units of the font in its height.
    em: f32,
}

impl Faces {
    /// Reads them; `None`: they are broken.
    pub(super) fn read() -> Option<Self> {
        Some(Self {
            regular: Face::read(ttf_noto_sans::REGULAR)?,
            bold: Face::read(ttf_noto_sans::BOLD)?,
        })
    }

    /// The one of a style.
    fn of(&self, style: Style) -> &Face {
        if style.bold { &self.bold } else { &self.regular }
    }

    /// The font to embed.
    pub(super) fn font(&self, style: Style) -> Font {
        self.of(style).font.clone()
    }

    /// Whether the font has it.
    pub(super) fn has(&self, style: Style, sign: char) -> bool {
        self.of(style).glyphs.map(sign).is_some()
    }

    /// How wide a character is. Zero: it stands on the one before.
    pub(super) fn advance(&self, style: Style, sign: char) -> f32 {
        let face = self.of(style);
        face.advance(face.glyph(sign)) * style.size
    }

    /// How wide a text is in one line.
    pub(super) fn width(&self, style: Style, text: &str) -> f32 {
        text.chars().map(|sign| self.advance(style, sign)).sum()
    }

    /// A text as glyphs.
    pub(super) fn glyphs(&self, style: Style, text: &str) -> Vec<KrillaGlyph> {
        let face = self.of(style);
        text.char_indices()
            .map(|(at, sign)| {
                let glyph = face.glyph(sign);
                KrillaGlyph::new(
                    GlyphId::new(glyph.to_u32()),
                    face.advance(glyph),
                    0.0,
                    0.0,
                    0.0,
                    at..at + sign.len_utf8(),
                    None,
                )
            })
            .collect()
    }
}

impl Face {
    /// Reads one.
    fn read(data: &'static [u8]) -> Option<Self> {
        let read = FontRef::new(data).ok()?;
        let font = Font::new(data.into(), 0)?;
        Some(Self {
            em: font.units_per_em(),
            glyphs: read.charmap(),
            metrics: read.glyph_metrics(Size::unscaled(), LocationRef::default()),
            font,
        })
    }

    /// The glyph of a character, or the one for characters the font lacks.
    fn glyph(&self, sign: char) -> skrifa::GlyphId {
        self.glyphs
            .map(sign)
            .or_else(|| self.glyphs.map(REPLACEMENT))
            .unwrap_or(skrifa::GlyphId::NOTDEF)
    }

    /// How wide it is, as a part of the font's height.
    fn advance(&self, glyph: skrifa::GlyphId) -> f32 {
        self.metrics.advance_width(glyph).unwrap_or_default() / self.em
    }
}
