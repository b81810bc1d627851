//! Numbers of member states that have letters among their digits.

use super::{
    Checked,
    sums::{digit, digits_agree, fits, form, is_mod_97_10, luhn, number, weighted},
};

/// Austria: `U`, seven digits, and one that fills their sum of Luhn and four up to a multiple of ten.
pub(super) fn at(text: &str) -> Checked {
    form(fits(text, "U########"))?;
    digits_agree((luhn(&text[1..8]) + 4 + digit(text, 8)) % 10 == 0)
}

/// What a digit at an odd place of a Cypriot number counts.
const CYPRUS: [i64; 10] = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21];

/// Cyprus: eight digits and a letter; none begins with 12.
pub(super) fn cy(text: &str) -> Checked {
    form(fits(text, "########@") && !text.starts_with("12"))?;
    let sum: i64 = (0..8)
        .map(|place| match place % 2 {
            0 => usize::try_from(digit(text, place)).map_or(0, |digit| CYPRUS[digit]),
            _ => digit(text, place),
        })
        .sum();
    digits_agree(letter(text, 8, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == Some(sum % 26))
}

/// Letters that end a Spanish number of a person.
const SPANISH_PERSONS: &str = "TRWAGMYFPDXBNJZSQVHLCKE";

/// Spain: persons (`########@`), foreigners (`X`, `Y`, `Z`), others of their kind (`K`, `L`, `M`) and companies.
pub(super) fn es(text: &str) -> Checked {
    let person = |digits: &str| digits_agree(letter(text, 8, SPANISH_PERSONS) == Some(number(digits) % 23));
    if fits(text, "########@") {
        return person(&text[..8]);
    }
    form(fits(text, "@#######*"))?;
    let first = &text[..1];
    match first {
        "X" | "Y" | "Z" => {
            form(fits(text, "@#######@"))?;
            let leading = match first {
                "X" => '0',
                "Y" => '1',
                _ => '2',
            };
            person(&format!("{leading}{}", &text[1..8]))
        }
        "K" | "L" | "M" => {
            form(fits(text, "@#######@"))?;
            person(&text[1..8])
        }
        _ => spanish_company(text),
    }
}

/// The kind of company, seven digits, and a check as a digit or as a letter. Which of the two goes with which kind is told in different
/// ways, so either is taken.
fn spanish_company(text: &str) -> Checked {
    form("ABCDEFGHJNPQRSUVW".contains(&text[..1]))?;
    let check = (10 - luhn(&format!("{}0", &text[1..8])) % 10) % 10;
    let is_digit = fits(&text[8..], "#") && digit(text, 8) == check;
    digits_agree(is_digit || letter(text, 8, "JABCDEFGHI") == Some(check))
}

/// Letters and digits of a French key: no `I`, no `O`.
const FRENCH_KEYS: &str = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/// France: a key of two signs and the nine digits of the company by Luhn. Numbers of Monaco begin with `000` after the key and follow
/// no Luhn.
pub(super) fn fr(text: &str) -> Checked {
    form(fits(text, "**#########"))?;
    let place = |at| letter(text, at, FRENCH_KEYS);
    let (Some(first), Some(second)) = (place(0), place(1)) else {
        return form(false);
    };
    let company = number(&text[2..]);
    digits_agree(text[2..].starts_with("000") || luhn(&text[2..]) % 10 == 0)?;
    digits_agree(match (first < 10, second < 10) {
        (true, true) => number(&format!("{}12", &text[2..])) % 97 == number(&text[..2]),
        (is_digit, _) => {
            let key = if is_digit {
                first * 24 + second - 10
            } else {
                first * 34 + second - 100
            };
            (company + 1 + key / 11) % 11 == key % 11
        }
    })
}

/// Ireland: seven digits, a check letter, and since 2013 one more letter that counts nine times. In the oldest numbers the second
/// sign is a letter, `+` or `*`.
pub(super) fn ie(text: &str) -> Checked {
    let is_old = text.len() == 8
        && fits(&text[..1], "#")
        && text[1..2]
            .bytes()
            .all(|sign| sign.is_ascii_uppercase() || matches!(sign, b'+' | b'*'))
        && fits(&text[2..], "#####@");
    if is_old {
        return irish(&format!("0{}{}", &text[2..7], &text[..1]), &text[7..8], "");
    }
    form(fits(text, "#######@") || (fits(text, "#######@@") && IRISH.contains(&text[8..])))?;
    irish(&text[..7], &text[7..8], &text[8..])
}

/// Letters of Irish numbers, by what they count.
const IRISH: &str = "WABCDEFGHIJKLMNOPQRSTUV";

fn irish(digits: &str, check: &str, more: &str) -> Checked {
    let more = letter(more, 0, IRISH).unwrap_or(0);
    let sum = weighted(digits, &[8, 7, 6, 5, 4, 3, 2]) + 9 * more;
    digits_agree(letter(check, 0, IRISH) == Some(sum % 23))
}

/// Netherlands: nine digits, `B`, two digits. Numbers of companies follow a weighted sum, those of persons since 2020 ISO 7064 mod 97,10.
pub(super) fn nl(text: &str) -> Checked {
    form(fits(text, "#########B##") && number(&text[..9]) > 0 && number(&text[10..]) > 0)?;
    let company = weighted(text, &[9, 8, 7, 6, 5, 4, 3, 2, -1]) % 11 == 0;
    digits_agree(company || is_mod_97_10(&format!("NL{text}")))
}

/// Where the sign at a place stands in an alphabet, from zero.
fn letter(text: &str, place: usize, alphabet: &str) -> Option<i64> {
    let sign = text.as_bytes().get(place)?;
    let found = alphabet.bytes().position(|letter| letter == *sign)?;
    i64::try_from(found).ok()
}
