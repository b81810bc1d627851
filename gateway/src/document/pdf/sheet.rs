//! The paper, its margins, and the sizes and colours of what stands on it. All lengths are points, 72 to the inch.

/// Width of A4.
pub(super) const WIDTH: f32 = 595.28;
/// Height of A4.
pub(super) const HEIGHT: f32 = 841.89;
/// 20 mm.
pub(super) const MARGIN: f32 = 56.69;
/// Where lines begin.
pub(super) const LEFT: f32 = MARGIN;
/// Where lines end.
pub(super) const RIGHT: f32 = WIDTH - MARGIN;
/// How long a line can be.
pub(super) const MEASURE: f32 = RIGHT - LEFT;
/// Where a page begins.
pub(super) const TOP: f32 = MARGIN;
/// Where a page ends; below is its foot.
pub(super) const BOTTOM: f32 = HEIGHT - MARGIN - 14.0;
/// On what the foot stands.
pub(super) const FOOT: f32 = HEIGHT - MARGIN + 2.0;

/// How dark something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// What is to be read.
    Dark,
    /// What explains.
    Quiet,
    /// Lines.
    Line,
    /// What lies below everything.
    Faint,
}

impl Ink {
    /// Red, green and blue.
    pub(super) fn rgb(self) -> [u8; 3] {
        match self {
            Self::Dark => [20, 24, 31],
            Self::Quiet => [87, 96, 108],
            Self::Line => [217, 221, 226],
            Self::Faint => [238, 240, 242],
        }
    }
}

/// How a text is set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Style {
    /// In bold.
    pub(super) bold: bool,
    /// Height of the font.
    pub(super) size: f32,
    /// From one line to the next.
    pub(super) leading: f32,
    /// How dark.
    pub(super) ink: Ink,
}

/// A style of the sheet.
const fn style(bold: bool, size: f32, leading: f32, ink: Ink) -> Style {
    Style {
        bold,
        size,
        leading,
        ink,
    }
}

/// The title.
pub(super) const TITLE: Style = style(true, 24.0, 31.0, Ink::Dark);
/// The seller beside it.
pub(super) const SELLER: Style = style(true, 12.5, 17.0, Ink::Dark);
/// The number below it.
pub(super) const NUMBER: Style = style(false, 10.5, 15.0, Ink::Quiet);
/// The state.
pub(super) const STATE: Style = style(true, 8.5, 12.0, Ink::Dark);
/// What something is called.
pub(super) const LABEL: Style = style(false, 8.0, 12.5, Ink::Quiet);
/// Most of it.
pub(super) const BODY: Style = style(false, 9.5, 13.5, Ink::Dark);
/// What a block or row is about.
pub(super) const STRONG: Style = style(true, 9.5, 13.5, Ink::Dark);
/// Small print.
pub(super) const SMALL: Style = style(false, 8.0, 12.0, Ink::Quiet);
/// What else must be said.
pub(super) const NOTE: Style = style(false, 8.5, 12.5, Ink::Quiet);
/// A row below the table.
pub(super) const TOTAL: Style = style(false, 9.5, 14.0, Ink::Quiet);
/// One that is looked for.
pub(super) const GRAND: Style = style(true, 11.5, 16.5, Ink::Dark);
