//! Numbers of member states where a person's VAT number is made of the date of birth.

use super::{
    Checked,
    sums::{digit, digits_agree, fits, form, is_day, number, weighted},
};

/// Bulgaria: nine digits for companies; ten for citizens, foreigners and others, each with weights of its own.
pub(super) fn bg(text: &str) -> Checked {
    if fits(text, "#########") {
        let check = match weighted(text, &[1, 2, 3, 4, 5, 6, 7, 8]) % 11 {
            10 => weighted(text, &[3, 4, 5, 6, 7, 8, 9, 10]) % 11 % 10,
            rest => rest,
        };
        return digits_agree(check == digit(text, 8));
    }
    form(fits(text, "##########"))?;
    let last = digit(text, 9);
    let citizen = weighted(text, &[2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10 == last && bulgarian_birthday(text);
    let foreigner = weighted(text, &[21, 19, 17, 13, 11, 9, 7, 3, 1]) % 10 == last;
    let other = (11 - weighted(text, &[4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 11 == last;
    digits_agree(citizen || foreigner || other)
}

/// The month tells the century: 21 to 32 of the 19th, 41 to 52 of the 21st.
fn bulgarian_birthday(text: &str) -> bool {
    let (year, month, day) = (number(&text[..2]), number(&text[2..4]), number(&text[4..6]));
    match month {
        41.. => is_day(2000 + year, month - 40, day),
        21.. => is_day(1800 + year, month - 20, day),
        _ => is_day(1900 + year, month, day),
    }
}

/// Czechia: eight digits for companies, nine with a leading six for persons without a birth number, else the birth number.
pub(super) fn cz(text: &str) -> Checked {
    if fits(text, "########") {
        form(digit(text, 0) != 9)?;
        let check = (11 - weighted(text, &[8, 7, 6, 5, 4, 3, 2]) % 11) % 11;
        // Zero becomes one, ten becomes zero.
        let check = if check == 0 { 1 } else { check % 10 };
        return digits_agree(check == digit(text, 7));
    }
    if fits(text, "6########") {
        let short = 11 - weighted(&text[1..], &[8, 7, 6, 5, 4, 3, 2]) % 11;
        return digits_agree((9 - short).rem_euclid(10) == digit(text, 8));
    }
    birth_number(text)
}

/// Slovakia: ten digits that are a multiple of eleven, or a birth number.
pub(super) fn sk(text: &str) -> Checked {
    form(fits(text, "##########"))?;
    if birth_number(text).is_ok() {
        return Ok(());
    }
    form(digit(text, 0) > 0 && matches!(digit(text, 2), 2 | 3 | 4 | 7 | 8 | 9))?;
    digits_agree(number(text) % 11 == 0)
}

/// The birth number that Czechia and Slovakia share: a date, fifty added to the month of a woman's, and since 1954 a check digit.
fn birth_number(text: &str) -> Checked {
    form(fits(text, "#########") || fits(text, "##########"))?;
    let (mut year, month, day) = (
        number(&text[..2]) + 1900,
        number(&text[2..4]) % 50,
        number(&text[4..6]),
    );
    // Where a day had more births than numbers, twenty was added.
    let month = month % 20;
    if text.len() == 9 {
        // Until 1953, so two digits that say more are of the century before.
        if year >= 1980 {
            year -= 100;
        }
        return form(year <= 1953 && is_day(year, month, day));
    }
    if year < 1954 {
        year += 100;
    }
    form(is_day(year, month, day))?;
    digits_agree(number(&text[..9]) % 11 % 10 == digit(text, 9))
}

/// Latvia: companies begin with four or more; persons with their date of birth, or, since 2017, with 32.
pub(super) fn lv(text: &str) -> Checked {
    form(fits(text, "###########"))?;
    if digit(text, 0) > 3 {
        let sum = weighted(text, &[9, 1, 4, 8, 3, 10, 2, 5, 7, 6, 1]);
        return digits_agree(sum % 11 == 3);
    }
    if !text.starts_with("32") {
        let century = 1800 + 100 * digit(text, 6);
        form(is_day(
            century + number(&text[4..6]),
            number(&text[2..4]),
            number(&text[..2]),
        ))?;
    }
    let sum = 1 + weighted(text, &[10, 5, 8, 4, 2, 1, 6, 3, 7, 9]);
    digits_agree(sum % 11 % 10 == digit(text, 10))
}
