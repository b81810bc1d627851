//! Pages, drawn.

use krilla::{
    Document as Pdf,
    color::rgb,
    geom::{PathBuilder, Point, Rect, Transform},
    metadata::Metadata,
    page::PageSettings,
    paint::{Fill, Stroke},
    surface::Surface,
};

use super::{
    Unprintable,
    face::Faces,
    flow::Page,
    sheet::{FOOT, HEIGHT, Ink, LEFT, MEASURE, RIGHT, SMALL, Style, WIDTH},
    strip::Mark,
    wrap::cut,
};
use crate::document::{Document, clean::clean, words};

/// How far round a corner of a frame is from being a circle's: the length of a handle of its curve.
const ROUND: f32 = 0.552_284_8;
/// How much of a page's diagonal the word across it may take.
const ACROSS: f32 = 0.62;

/// The PDF of pages.
pub(super) fn draw(faces: &Faces, document: &Document, pages: &[Page]) -> Result<Vec<u8>, Unprintable> {
    let mut pdf = Pdf::new();
    pdf.set_metadata(metadata(document));
    let paper =
        PageSettings::from_wh(WIDTH, HEIGHT).ok_or_else(|| Unprintable::Written("no paper".to_owned()))?;
    for (at, page) in pages.iter().enumerate() {
        let mut sheet = pdf.start_page_with(paper.clone());
        let mut surface = sheet.surface();
        if let Some(word) = &document.watermark {
            watermark(&mut surface, faces, word);
        }
        for (y, marks) in page {
            for one in marks {
                mark(&mut surface, faces, *y, one);
            }
        }
        foot(&mut surface, faces, document, (at + 1, pages.len()));
        surface.finish();
        sheet.finish();
    }
    pdf.finish()
        .map_err(|error| Unprintable::Written(error.to_string()))
}

/// What programs show of a file. There is no date, so that the same document gives the same bytes.
fn metadata(document: &Document) -> Metadata {
    let line = |text: &str| clean(text).replace('\n', " ");
    let author = Some(line(&document.seller.name)).filter(|name| !name.is_empty());
    Metadata::new()
        .title(line(&document.name()))
        .authors(author.into_iter().collect())
        .language(words::LANGUAGE.to_owned())
        .creator("Tallygate".to_owned())
}

/// One mark, on a strip that begins at `top`.
fn mark(surface: &mut Surface<'_>, faces: &Faces, top: f32, mark: &Mark) {
    match mark {
        Mark::Text { x, y, text, style } => write(surface, faces, (*x, top + y), text, *style),
        Mark::Rule {
            from,
            to,
            y,
            thick,
            ink,
        } => {
            if let Some(line) = Rect::from_xywh(*from, top + y - thick, to - from, *thick) {
                let mut path = PathBuilder::new();
                path.push_rect(line);
                fill(surface, *ink);
                path.finish().iter().for_each(|path| surface.draw_path(path));
            }
        }
        Mark::Pill { x, y, width, height } => pill(surface, (*x, top + y), *width, *height),
    }
}

/// Colours what comes.
fn fill(surface: &mut Surface<'_>, ink: Ink) {
    let [red, green, blue] = ink.rgb();
    surface.set_stroke(None);
    surface.set_fill(Some(Fill {
        paint: rgb::Color::new(red, green, blue).into(),
        ..Fill::default()
    }));
}

/// A line of text.
fn write(surface: &mut Surface<'_>, faces: &Faces, (x, y): (f32, f32), text: &str, style: Style) {
    let glyphs = faces.glyphs(style, text);
    if glyphs.is_empty() {
        return;
    }
    fill(surface, style.ink);
    surface.draw_glyphs(
        Point::from_xy(x, y),
        &glyphs,
        faces.font(style),
        text,
        style.size,
        false,
    );
}

/// A frame with round ends.
fn pill(surface: &mut Surface<'_>, (x, y): (f32, f32), width: f32, height: f32) {
    let (right, bottom, radius) = (x + width, y + height, height / 2.0);
    let handle = radius * (1.0 - ROUND);
    let mut path = PathBuilder::new();
    path.move_to(x + radius, y);
    path.line_to(right - radius, y);
    path.cubic_to(right - handle, y, right, y + handle, right, y + radius);
    path.cubic_to(
        right,
        bottom - handle,
        right - handle,
        bottom,
        right - radius,
        bottom,
    );
    path.line_to(x + radius, bottom);
    path.cubic_to(x + handle, bottom, x, bottom - handle, x, y + radius);
    path.cubic_to(x, y + handle, x + handle, y, x + radius, y);
    path.close();
    let [red, green, blue] = Ink::Dark.rgb();
    surface.set_fill(None);
    surface.set_stroke(Some(Stroke {
        paint: rgb::Color::new(red, green, blue).into(),
        width: 0.8,
        ..Stroke::default()
    }));
    path.finish().iter().for_each(|path| surface.draw_path(path));
}

/// A word across the page, below everything.
fn watermark(surface: &mut Surface<'_>, faces: &Faces, word: &str) {
    let unit = Style {
        bold: true,
        size: 1.0,
        leading: 1.0,
        ink: Ink::Faint,
    };
    // Of a whole sentence, what can still be read.
    let text = cut(faces, unit, &word.to_uppercase(), 24.0);
    let wide = faces.width(unit, &text);
    if wide <= 0.0 {
        return;
    }
    let size = (WIDTH.hypot(HEIGHT) * ACROSS / wide).min(140.0);
    surface.push_transform(&Transform::from_rotate_at(-52.0, WIDTH / 2.0, HEIGHT / 2.0));
    let style = Style { size, ..unit };
    let place = (WIDTH / 2.0 - wide * size / 2.0, HEIGHT / 2.0 + size * 0.36);
    write(surface, faces, place, &text, style);
    surface.pop();
}

/// Which document, and which of its pages.
fn foot(surface: &mut Surface<'_>, faces: &Faces, document: &Document, (page, pages): (usize, usize)) {
    let count = words::page(page, pages);
    let wide = faces.width(SMALL, &count);
    write(surface, faces, (RIGHT - wide, FOOT), &count, SMALL);
    let name = cut(faces, SMALL, &document.name(), MEASURE - wide - 20.0);
    write(surface, faces, (LEFT, FOOT), &name, SMALL);
}
