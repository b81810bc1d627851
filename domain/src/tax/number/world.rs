//! Tax numbers of other countries.

use super::{
    Checked, NotATaxNumber,
    sums::{digit, digits_agree, fits, form, luhn, number, weighted},
};

/// United Kingdom and Northern Ireland, without the prefix: nine digits, three more for a branch, or `GD` and `HA` for public bodies.
/// Both ways of forming the check digits are in use.
pub(super) fn gb(text: &str) -> Checked {
    if fits(text, "GD###") || fits(text, "HA###") {
        return form((number(&text[2..]) < 500) == text.starts_with("GD"));
    }
    form(fits(text, "#########") || fits(text, "############"))?;
    let rest = weighted(text, &[8, 7, 6, 5, 4, 3, 2, 10, 1]) % 97;
    digits_agree(rest == 0 || (number(&text[..3]) >= 100 && matches!(rest, 42 | 55)))
}

/// Switzerland: `CHE`, nine digits, and what VAT is called in the languages of the country, or nothing.
pub(super) fn ch(text: &str) -> Checked {
    let bare = ["MWST", "TVA", "IVA", "TPV"]
        .iter()
        .find_map(|ending| text.strip_suffix(ending))
        .unwrap_or(text);
    form(fits(bare, "CHE#########"))?;
    let check = (11 - weighted(&bare[3..], &[5, 4, 3, 2, 7, 6, 5, 4]) % 11) % 11;
    digits_agree(check == digit(bare, 11))
}

/// Norway: nine digits and `MVA`; `NO` may stand before it and is left out.
pub(super) fn no(text: &str) -> Result<String, NotATaxNumber> {
    let text = text.strip_prefix("NO").unwrap_or(text);
    form(fits(text, "#########MVA"))?;
    let check = (11 - weighted(text, &[3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 11;
    digits_agree(check == digit(text, 8))?;
    Ok(text.to_owned())
}

/// Australia: eleven digits; one is taken from the first before they are weighed.
pub(super) fn au(text: &str) -> Checked {
    form(fits(text, "###########") && digit(text, 0) > 0)?;
    let sum = weighted(text, &[10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]) - 10;
    digits_agree(sum % 89 == 0)
}

/// New Zealand: eight or nine digits in the range that is given out; a second row of weights where the first leaves ten.
pub(super) fn nz(text: &str) -> Checked {
    form(fits(text, "########") || fits(text, "#########"))?;
    form((10_000_001..150_000_000).contains(&number(text)))?;
    let padded = format!("{text:0>9}");
    let check = |weights: &[i64]| (-weighted(&padded, weights)).rem_euclid(11);
    let check = match check(&[3, 2, 7, 6, 5, 4, 3, 2]) {
        10 => check(&[7, 4, 3, 2, 5, 2, 7, 6]),
        other => other,
    };
    digits_agree(check == digit(&padded, 8))
}

/// Canada: nine digits by Luhn, and perhaps `RT` and the number of the account.
pub(super) fn ca(text: &str) -> Checked {
    form(fits(text, "#########") || fits(text, "#########RT####"))?;
    digits_agree(luhn(&text[..9]) % 10 == 0)
}

/// India: state, permanent account number, number of the registration, `Z`, and a check sign by Luhn in base 36.
pub(super) fn india(text: &str) -> Checked {
    form(fits(text, "##@@@@@####@*Z*"))?;
    let state = number(&text[..2]);
    let kind = &text[5..6];
    form((1..=38).contains(&state) || matches!(state, 97 | 99))?;
    form("ABCFGHJKLPT".contains(kind) && &text[7..11] != "0000" && &text[12..13] != "0")?;
    let value = |sign: u8| match sign {
        b'0'..=b'9' => i64::from(sign - b'0'),
        _ => i64::from(sign.saturating_sub(b'A')) + 10,
    };
    // Every second sign from the right is doubled; of two digits in base 36 both count.
    let sum: i64 = text
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, sign)| match place % 2 {
            0 => value(sign),
            _ => value(sign) * 2 / 36 + value(sign) * 2 % 36,
        })
        .sum();
    digits_agree(sum % 36 == 0)
}

/// Singapore: the entity number in one of its three forms, or a GST number that begins with `M`. The form only.
pub(super) fn sg(text: &str) -> Checked {
    let is_one = [
        "########@",
        "#########@",
        "@##@@####@",
        "M########@",
        "M#########",
    ]
    .iter()
    .any(|known| fits(text, known));
    form(is_one && (!fits(text, "@##@@####@") || ["R", "S", "T"].contains(&&text[..1])))
}

/// Japan: thirteen digits, the first of which checks the others.
pub(super) fn jp(text: &str) -> Checked {
    let text = text.strip_prefix('T').unwrap_or(text);
    form(fits(text, "#############"))?;
    let sum = weighted(&text[1..], &[2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1]);
    digits_agree(9 - sum % 9 == digit(text, 0))
}

/// South Korea: the office from 101, the kind of business, and a check digit at the end.
pub(super) fn kr(text: &str) -> Checked {
    form(fits(text, "##########") && number(&text[..3]) >= 101 && &text[3..5] != "00")?;
    form(&text[5..9] != "0000")?;
    let sum = weighted(text, &[1, 3, 7, 1, 3, 7, 1, 3, 5]) + digit(text, 8) * 5 / 10;
    digits_agree((10 - sum % 10) % 10 == digit(text, 9))
}

/// United States: two digits for the place, seven more. There is no check digit.
pub(super) fn us(text: &str) -> Checked {
    form(fits(text, "#########") && &text[..2] != "00")
}
