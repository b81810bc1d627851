//! What check digits are made of.

use super::{Checked, NotATaxNumber};

/// Whether a text has a form: `#` stands for a digit, `@` for a capital letter, `*` for either, every other sign for itself.
pub(super) fn fits(text: &str, form: &str) -> bool {
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(|(sign, wanted)| match wanted {
            b'#' => sign.is_ascii_digit(),
            b'@' => sign.is_ascii_uppercase(),
            b'*' => sign.is_ascii_digit() || sign.is_ascii_uppercase(),
            other => sign == other,
        })
}

/// Refuses a text without the form.
pub(super) fn form(is_right: bool) -> Checked {
    if is_right {
        Ok(())
    } else {
        Err(NotATaxNumber::Form)
    }
}

/// Refuses a text whose check digits are wrong.
pub(super) fn digits_agree(is_right: bool) -> Checked {
    if is_right {
        Ok(())
    } else {
        Err(NotATaxNumber::CheckDigits)
    }
}

/// The digit at a place; zero for what is not a digit (the form is checked before).
pub(super) fn digit(text: &str, place: usize) -> i64 {
    text.as_bytes()
        .get(place)
        .filter(|sign| sign.is_ascii_digit())
        .map_or(0, |sign| i64::from(sign - b'0'))
}

/// The number that a text of digits spells; zero for any other text.
pub(super) fn number(text: &str) -> i64 {
    text.parse().unwrap_or(0)
}

/// Each digit times its weight, added up. Digits beyond the weights do not count.
pub(super) fn weighted(text: &str, weights: &[i64]) -> i64 {
    weights
        .iter()
        .enumerate()
        .map(|(place, weight)| weight * digit(text, place))
        .sum()
}

/// The sum of Luhn: from the right, every second digit is doubled, and of what has two digits both count. A number whose last digit is its
/// check digit comes to a multiple of ten.
pub(super) fn luhn(text: &str) -> i64 {
    let last = text.len().saturating_sub(1);
    (0..text.len())
        .map(|place| {
            let digit = digit(text, place);
            match (last - place) % 2 {
                0 => digit,
                _ => digit * 2 / 10 + digit * 2 % 10,
            }
        })
        .sum()
}

/// ISO 7064 mod 11,10: whether the last digit fits the others.
pub(super) fn is_mod_11_10(text: &str) -> bool {
    let last = text.len().saturating_sub(1);
    let product = (0..last).fold(10, |product, place| {
        let sum = (product + digit(text, place)) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (product + digit(text, last)) % 10 == 1
}

/// ISO 7064 mod 97,10: letters count from ten, and the whole is one more than a multiple of 97.
pub(super) fn is_mod_97_10(text: &str) -> bool {
    let rest = text.bytes().fold(0_i64, |rest, sign| {
        if sign.is_ascii_digit() {
            (rest * 10 + i64::from(sign - b'0')) % 97
        } else {
            (rest * 100 + i64::from(sign.saturating_sub(b'A')) + 10) % 97
        }
    });
    rest == 1
}

/// Whether there is such a day.
pub(super) fn is_day(year: i64, month: i64, day: i64) -> bool {
    let part = |number: i64| i8::try_from(number).ok();
    let (Ok(year), Some(month), Some(day)) = (i16::try_from(year), part(month), part(day)) else {
        return false;
    };
    jiff::civil::Date::new(year, month, day).is_ok()
}
