//! What is drawn, cut into strips that lie one below another. Pages end between strips.

use super::{
    face::Faces,
    sheet::{Ink, Style},
    wrap::wrap,
};

/// Something drawn. Heights are counted down from the top of its strip.
#[derive(Clone)]
pub(super) enum Mark {
    /// A text of one line.
    Text {
        /// Where it begins.
        x: f32,
        /// On what it stands.
        y: f32,
        /// What.
        text: String,
        /// How.
        style: Style,
    },
    /// A line from side to side.
    Rule {
        /// Where it begins.
        from: f32,
        /// Where it ends.
        to: f32,
        /// How far down.
        y: f32,
        /// How thick.
        thick: f32,
        /// How dark.
        ink: Ink,
    },
    /// A frame with round ends.
    Pill {
        /// Its left side.
        x: f32,
        /// Its top.
        y: f32,
        /// How wide.
        width: f32,
        /// How high.
        height: f32,
    },
}

/// A strip of a page from margin to margin.
#[derive(Default)]
pub(super) struct Strip {
    /// How high it is.
    pub(super) height: f32,
    /// What is in it.
    pub(super) marks: Vec<Mark>,
}

/// Strips that belong together: a row, a paragraph.
#[derive(Default)]
pub(super) struct Block {
    /// Room above, unless a page begins with it.
    pub(super) before: f32,
    /// Its strips.
    pub(super) strips: Vec<Strip>,
    /// Whether the head of the table must stand above it.
    pub(super) table: bool,
}

impl Strip {
    /// An empty one.
    pub(super) fn space(height: f32) -> Self {
        Self {
            height,
            marks: Vec::new(),
        }
    }

    /// One with a line at its foot.
    pub(super) fn ruled(height: f32, from: f32, to: f32, thick: f32, ink: Ink) -> Self {
        let rule = Mark::Rule {
            from,
            to,
            y: height,
            thick,
            ink,
        };
        Self {
            height,
            marks: vec![rule],
        }
    }
}

impl Block {
    /// How high it is.
    pub(super) fn height(&self) -> f32 {
        self.strips.iter().map(|strip| strip.height).sum()
    }
}

/// Lines one below another.
pub(super) struct Column {
    /// Its left side.
    x: f32,
    /// How wide it is.
    width: f32,
    /// Whether its lines end at its right side.
    right: bool,
    /// What is in it.
    lines: Vec<(String, Style)>,
}

impl Column {
    /// One whose lines begin at its left side.
    pub(super) fn left(x: f32, width: f32) -> Self {
        Self {
            x,
            width,
            right: false,
            lines: Vec::new(),
        }
    }

    /// One whose lines end at its right side.
    pub(super) fn right(x: f32, width: f32) -> Self {
        Self {
            right: true,
            ..Self::left(x, width)
        }
    }

    /// With a text below what is there, in as many lines as it needs.
    #[must_use]
    pub(super) fn with(mut self, faces: &Faces, style: Style, text: &str) -> Self {
        let lines = wrap(faces, style, text, self.width);
        self.lines.extend(lines.into_iter().map(|line| (line, style)));
        self
    }
}

/// Columns side by side, line by line. Lines beside each other stand on the same height.
pub(super) fn side_by_side(faces: &Faces, columns: Vec<Column>) -> Vec<Strip> {
    let lines = columns.iter().map(|column| column.lines.len()).max();
    let mut strips = (0..lines.unwrap_or_default())
        .map(|_| Strip::default())
        .collect::<Vec<_>>();
    for column in &columns {
        for (strip, (_, style)) in strips.iter_mut().zip(&column.lines) {
            strip.height = strip.height.max(style.leading);
        }
    }
    for column in columns {
        for (strip, (text, style)) in strips.iter_mut().zip(column.lines) {
            let room = column.width - faces.width(style, &text);
            strip.marks.push(Mark::Text {
                x: column.x + if column.right { room } else { 0.0 },
                y: strip.height * 0.74,
                text,
                style,
            });
        }
    }
    strips
}
