//! The table and the rows below it.

use super::{
    face::Faces,
    sheet::{BODY, GRAND, Ink, LABEL, LEFT, MEASURE, RIGHT, SMALL, Style, TOTAL},
    strip::{Block, Column, Strip, side_by_side},
};
use crate::document::{
    Row, Total,
    number::{NUMBERS, Number},
    words,
};

/// Between two columns.
const GAP: f32 = 18.0;
/// The most a column of numbers gets; what is wider is broken.
const WIDEST: f32 = 112.0;
/// Where the rows below the table begin.
const TOTALS: f32 = LEFT + MEASURE * 0.5;

/// How wide each column of numbers is: as wide as what is in it. One that is not used has no width.
fn widths(faces: &Faces, rows: &[Row]) -> [f32; 3] {
    NUMBERS.map(|Number { label, of }| {
        let values = rows.iter().map(|row| faces.width(BODY, of(row)));
        let widest = values.fold(0.0, f32::max);
        if widest > 0.0 {
            widest.max(faces.width(LABEL, label)).min(WIDEST)
        } else {
            0.0
        }
    })
}

/// The columns of numbers, each in its place, and how wide the descriptions may be.
fn places(widths: [f32; 3]) -> ([Column; 3], f32) {
    let mut left = RIGHT;
    let mut place = |width: f32| {
        let end = left;
        if width > 0.0 {
            left -= width + GAP;
        }
        Column::right(end - width, width)
    };
    let [quantity, unit_price, amount] = widths;
    // From the right.
    let amount = place(amount);
    let unit_price = place(unit_price);
    let quantity = place(quantity);
    ([quantity, unit_price, amount], left - LEFT)
}

/// The head of the table, for every page on which there are rows.
pub(super) fn head(faces: &Faces, rows: &[Row]) -> Vec<Strip> {
    let widths = widths(faces, rows);
    let (numbers, rest) = places(widths);
    let mut columns = vec![Column::left(LEFT, rest).with(faces, LABEL, words::DESCRIPTION)];
    for ((column, Number { label, .. }), width) in numbers.into_iter().zip(NUMBERS).zip(widths) {
        columns.push(if width > 0.0 {
            column.with(faces, LABEL, label)
        } else {
            column
        });
    }
    let mut strips = side_by_side(faces, columns);
    strips.push(Strip::ruled(4.0, LEFT, RIGHT, 0.9, Ink::Dark));
    strips
}

/// The rows, a block each.
pub(super) fn rows(faces: &Faces, rows: &[Row]) -> Vec<Block> {
    let widths = widths(faces, rows);
    let block = |row: &Row| {
        let (numbers, rest) = places(widths);
        let mut description = Column::left(LEFT, rest).with(faces, BODY, &row.description);
        for detail in &row.details {
            description = description.with(faces, SMALL, detail);
        }
        let mut columns = vec![description];
        for (column, Number { of, .. }) in numbers.into_iter().zip(NUMBERS) {
            columns.push(column.with(faces, BODY, of(row)));
        }
        let mut strips = vec![Strip::space(5.0)];
        strips.extend(side_by_side(faces, columns));
        strips.push(Strip::ruled(5.5, LEFT, RIGHT, 0.6, Ink::Line));
        Block {
            before: 0.0,
            strips,
            table: true,
        }
    };
    rows.iter().map(block).collect()
}

/// What it comes to, in one block.
pub(super) fn totals(faces: &Faces, totals: &[Total]) -> Block {
    let mut strips = Vec::new();
    for total in totals {
        let style = if total.strong { GRAND } else { TOTAL };
        let value = Style {
            ink: Ink::Dark,
            ..style
        };
        let wide = faces.width(value, &total.value).min(WIDEST * 1.3);
        if total.strong && !strips.is_empty() {
            strips.push(Strip::ruled(4.0, TOTALS, RIGHT, 0.6, Ink::Line));
        }
        strips.push(Strip::space(if total.strong { 4.0 } else { 2.0 }));
        strips.extend(side_by_side(
            faces,
            vec![
                Column::left(TOTALS, RIGHT - wide - GAP - TOTALS).with(faces, style, &total.label),
                Column::right(RIGHT - wide, wide).with(faces, value, &total.value),
            ],
        ));
    }
    Block {
        before: 8.0,
        strips,
        table: false,
    }
}
