//! VAT numbers of the member states of the European Union, without their prefix.

use super::{
    Checked, NotATaxNumber, eu_lettered, eu_persons,
    sums::{digit, digits_agree, fits, form, is_mod_11_10, luhn, number, weighted},
};
use crate::tax::country::Country;

/// Checks a number of a member state.
pub(super) fn check(country: Country, text: &str) -> Checked {
    match country.code() {
        "AT" => eu_lettered::at(text),
        "BE" => be(text),
        "BG" => eu_persons::bg(text),
        "CY" => eu_lettered::cy(text),
        "CZ" => eu_persons::cz(text),
        "DE" => mod_11_10(text, 9),
        "DK" => sum(text, &[2, 7, 6, 5, 4, 3, 2, 1], 11, LeadingZero::No),
        "EE" => sum(text, &[3, 7, 1, 3, 7, 1, 3, 7, 1], 10, LeadingZero::Yes),
        "ES" => eu_lettered::es(text),
        "FI" => sum(text, &[7, 9, 10, 5, 8, 4, 2, 1], 11, LeadingZero::Yes),
        "FR" => eu_lettered::fr(text),
        "GR" => gr(text),
        "HR" => mod_11_10(text, 11),
        "HU" => sum(text, &[9, 7, 3, 1, 9, 7, 3, 1], 10, LeadingZero::Yes),
        "IE" => eu_lettered::ie(text),
        "IT" => it(text),
        "LT" => lt(text),
        "LU" => lu(text),
        "LV" => eu_persons::lv(text),
        "MT" => sum(text, &[3, 4, 6, 7, 8, 9, 10, 1], 37, LeadingZero::No),
        "NL" => eu_lettered::nl(text),
        "PL" => sum(text, &[6, 5, 7, 2, 3, 4, 5, 6, 7, -1], 11, LeadingZero::Yes),
        "PT" => pt(text),
        "RO" => ro(text),
        "SE" => se(text),
        "SI" => si(text),
        "SK" => eu_persons::sk(text),
        _ => Err(NotATaxNumber::Country { country }),
    }
}

/// Whether a number may begin with zero.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LeadingZero {
    Yes,
    No,
}

/// As many digits as weights, whose weighted sum is a multiple of `modulus`.
fn sum(text: &str, weights: &[i64], modulus: i64, zero: LeadingZero) -> Checked {
    form(fits(text, &"#".repeat(weights.len())) && (zero == LeadingZero::Yes || digit(text, 0) > 0))?;
    digits_agree(weighted(text, weights) % modulus == 0)
}

/// Germany and Croatia: digits by ISO 7064 mod 11,10. A German number does not begin with zero.
fn mod_11_10(text: &str, length: usize) -> Checked {
    form(fits(text, &"#".repeat(length)) && (length != 9 || digit(text, 0) > 0))?;
    digits_agree(is_mod_11_10(text))
}

/// Belgium: the last two digits are 97 less the rest of the others by 97.
fn be(text: &str) -> Checked {
    form(fits(text, "##########") && digit(text, 0) <= 1 && number(&text[..8]) > 0)?;
    digits_agree(97 - number(&text[..8]) % 97 == number(&text[8..]))
}

/// Greece: weights are powers of two.
fn gr(text: &str) -> Checked {
    form(fits(text, "#########"))?;
    let sum = weighted(text, &[256, 128, 64, 32, 16, 8, 4, 2]);
    digits_agree(sum % 11 % 10 == digit(text, 8))
}

/// Italy: Luhn; the digits eight to ten name the office.
fn it(text: &str) -> Checked {
    form(fits(text, "###########") && number(&text[..7]) > 0)?;
    let office = number(&text[7..10]);
    form((1..=100).contains(&office) || matches!(office, 120 | 121 | 888 | 999))?;
    digits_agree(luhn(text) % 10 == 0)
}

/// Lithuania: two rows of weights; the second where the first leaves ten. The digit before the last is a one.
fn lt(text: &str) -> Checked {
    form(fits(text, "#######1#") || fits(text, "##########1#"))?;
    let last = text.len() - 1;
    let row = |shift: i64| -> i64 {
        (0_i64..)
            .zip(0..last)
            .map(|(place, at)| (1 + (place + shift) % 9) * digit(text, at))
            .sum()
    };
    let rest = match row(0) % 11 {
        10 => row(2) % 11 % 10,
        rest => rest,
    };
    digits_agree(rest == digit(text, last))
}

/// Luxembourg: the last two digits are the rest of the others by 89.
fn lu(text: &str) -> Checked {
    form(fits(text, "########"))?;
    digits_agree(number(&text[..6]) % 89 == number(&text[6..]))
}

/// Portugal: a check digit of ten or eleven is zero.
fn pt(text: &str) -> Checked {
    form(fits(text, "#########") && digit(text, 0) > 0)?;
    let check = 11 - weighted(text, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    digits_agree(check % 11 % 10 == digit(text, 8))
}

/// Romania: two to ten digits; the weights belong to the right end.
fn ro(text: &str) -> Checked {
    form((2..=10).contains(&text.len()) && fits(text, &"#".repeat(text.len())) && digit(text, 0) > 0)?;
    let padded = format!("{text:0>10}");
    let sum = weighted(&padded, &[7, 5, 3, 2, 1, 7, 5, 3, 2]);
    digits_agree(sum * 10 % 11 % 10 == digit(&padded, 9))
}

/// Sweden: the ten digits of the organisation by Luhn, then the number of the registration, nearly always `01`.
fn se(text: &str) -> Checked {
    form(fits(text, "############") && (1..=94).contains(&number(&text[10..])))?;
    digits_agree(luhn(&text[..10]) % 10 == 0)
}

/// Slovenia: a check digit of ten is zero, one of eleven is not given out.
fn si(text: &str) -> Checked {
    form(fits(text, "########") && digit(text, 0) > 0)?;
    let check = 11 - weighted(text, &[8, 7, 6, 5, 4, 3, 2]) % 11;
    digits_agree(check != 11 && check % 10 == digit(text, 7))
}
