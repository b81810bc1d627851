//! A usage trace in the form of the public one of 2023: as many rows and the same sums, but made up.

use std::fmt::Write;

pub const ROWS: u64 = 8_819;
pub const INPUT: u64 = 18_059_974;
pub const OUTPUT: u64 = 245_896;

/// Rows as spreadsheets write them: with a byte-order mark, carriage returns, and no end of the last line.
pub fn csv() -> String {
    let (input, output) = (spread(INPUT, 7_919, 4_000), spread(OUTPUT, 31, 50));
    let mut text = "\u{feff}TIMESTAMP,ContextTokens,GeneratedTokens".to_owned();
    for (row, (input, output)) in input.into_iter().zip(output).enumerate() {
        let (minute, second, fraction) = (row / 150, row / 3 % 60, row * 7_919 % 10_000);
        let hour = 18 + minute / 60;
        let minute = minute % 60;
        write!(
            text,
            "\r\n2023-11-16 {hour}:{minute:02}:{second:02}.{fraction:04}600,{input},{output}"
        )
        .unwrap();
    }
    text
}

/// A number for each row, uneven, with exactly this sum.
fn spread(sum: u64, step: u64, bound: u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..ROWS).map(|row| row * step % bound + 1).collect();
    let missing = sum - numbers.iter().sum::<u64>();
    for (row, number) in (0..).zip(&mut numbers) {
        *number += missing / ROWS + u64::from(row < missing % ROWS);
    }
    numbers
}

#[test]
fn the_trace_has_the_sums_of_the_public_one() {
    let text = csv();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect())
        .collect();
    let sum = |column: usize| {
        rows.iter()
            .map(|row| row[column].parse::<u64>().unwrap())
            .sum::<u64>()
    };
    assert_eq!((rows.len() as u64, sum(1), sum(2)), (ROWS, INPUT, OUTPUT));
    assert_eq!(rows[1][0], "2023-11-16 18:00:00.7919600");
}
