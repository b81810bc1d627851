//! What stands on a document, from top to bottom.

use super::{
    face::Faces,
    sheet::{BODY, Ink, LABEL, LEFT, MEASURE, NOTE, NUMBER, RIGHT, SELLER, STATE, STRONG, TITLE},
    strip::{Block, Column, Mark, Strip, side_by_side},
    table,
    wrap::cut,
};
use crate::document::{Document, Party, words};

/// Between two columns of text.
const GAP: f32 = 28.0;

/// All of it.
pub(super) fn blocks(faces: &Faces, document: &Document) -> Vec<Block> {
    let mut blocks = vec![
        head(faces, document),
        facts(faces, &document.facts),
        parties(faces, document),
    ];
    let mut rows = table::rows(faces, &document.rows);
    if let Some(first) = rows.first_mut() {
        first.before = 30.0;
    }
    blocks.extend(rows);
    blocks.push(table::totals(faces, &document.totals));
    blocks.extend(notes(faces, &document.notes));
    blocks.retain(|block| !block.strips.is_empty());
    blocks
}

/// What it is, and whose.
fn head(faces: &Faces, document: &Document) -> Block {
    let width = MEASURE * 0.6;
    let mut left = Column::left(LEFT, width).with(faces, TITLE, &document.title);
    let state = document.state.as_deref().unwrap_or_default();
    let pill = pill(faces, state, faces.width(TITLE, &document.title), width);
    if let Some(number) = &document.number {
        left = left.with(faces, NUMBER, number);
    }
    if pill.is_none() {
        left = left.with(faces, STRONG, state);
    }
    let aside = MEASURE - width - GAP;
    let right = Column::right(RIGHT - aside, aside).with(faces, SELLER, &document.seller.name);
    let mut strips = side_by_side(faces, vec![left, right]);
    if let (Some(first), Some(pill)) = (strips.first_mut(), pill) {
        first.marks.extend(pill);
    }
    Block {
        strips,
        ..Block::default()
    }
}

/// The state in a frame behind the title, if both fit into a line.
fn pill(faces: &Faces, state: &str, title: f32, width: f32) -> Option<[Mark; 2]> {
    let text = cut(faces, STATE, state, width);
    let wide = faces.width(STATE, &text) + 16.0;
    let x = LEFT + title + 12.0;
    let frame = Mark::Pill {
        x,
        y: 7.5,
        width: wide,
        height: 15.5,
    };
    let text = Mark::Text {
        x: x + 8.0,
        y: 18.3,
        text,
        style: STATE,
    };
    (!state.is_empty() && title > 0.0 && x + wide <= LEFT + width).then_some([frame, text])
}

/// Dates, periods, numbers of orders, as many beside each other as fit, between two lines.
fn facts(faces: &Faces, facts: &[(String, String)]) -> Block {
    let mut strips = Vec::new();
    let mut columns = Vec::new();
    let mut x = LEFT;
    for (label, value) in facts {
        let widest = faces.width(LABEL, label).max(faces.width(BODY, value));
        let width = widest.clamp(70.0, MEASURE);
        if x + width > RIGHT {
            strips.extend(fact_line(faces, std::mem::take(&mut columns)));
            x = LEFT;
        }
        let column = Column::left(x, width);
        columns.push(column.with(faces, LABEL, label).with(faces, BODY, value));
        x += width + GAP;
    }
    strips.extend(fact_line(faces, columns));
    if !strips.is_empty() {
        strips.insert(0, Strip::ruled(0.0, LEFT, RIGHT, 0.6, Ink::Line));
        strips.push(Strip::ruled(9.0, LEFT, RIGHT, 0.6, Ink::Line));
    }
    Block {
        before: 20.0,
        strips,
        table: false,
    }
}

/// Those beside each other, with room above.
fn fact_line(faces: &Faces, columns: Vec<Column>) -> Vec<Strip> {
    let mut strips = side_by_side(faces, columns);
    if !strips.is_empty() {
        strips.insert(0, Strip::space(8.0));
    }
    strips
}

/// Who sells and who buys.
fn parties(faces: &Faces, document: &Document) -> Block {
    let width = (MEASURE - GAP) / 2.0;
    let mut columns = Vec::new();
    let mut x = LEFT;
    for (label, party) in [(words::SELLER, &document.seller), (words::BUYER, &document.buyer)] {
        if !party.is_empty() {
            columns.push(one_party(faces, Column::left(x, width), label, party));
            x += width + GAP;
        }
    }
    Block {
        before: 18.0,
        strips: side_by_side(faces, columns),
        table: false,
    }
}

/// One of them.
fn one_party(faces: &Faces, column: Column, label: &str, party: &Party) -> Column {
    let column = column.with(faces, LABEL, label).with(faces, STRONG, &party.name);
    party
        .lines()
        .fold(column, |column, line| column.with(faces, BODY, line))
}

/// What else must be said, a block each.
fn notes(faces: &Faces, notes: &[String]) -> Vec<Block> {
    let note = |(at, note): (usize, &String)| Block {
        before: if at == 0 { 28.0 } else { 6.0 },
        strips: side_by_side(
            faces,
            vec![Column::left(LEFT, MEASURE * 0.86).with(faces, NOTE, note)],
        ),
        table: false,
    };
    notes.iter().enumerate().map(note).collect()
}
