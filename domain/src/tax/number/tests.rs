//! Numbers that are right and numbers that are not, for every country. The rows of the first table were made by chance and judged by an
//! independent implementation; those of the second show how people write them.

use proptest::prelude::*;

use super::{
    Kind::{AuAbn, CaGst, ChUid, EuVat, GbVat, InGst, JpCorporate, KrBrn, NoMva, NzGst, SgGst, UsEin, XiVat},
    *,
};

/// Kind, country, numbers that are right, and the same with one sign changed.
#[rustfmt::skip]
const JUDGED: &[(Kind, &str, &str, &str)] = &[
    (EuVat, "AT", "U86091390 U11471049 U21547280 U59898347 U16751361", "U83091390 U86091690 U61471049 U11471046"),
    (EuVat, "BE", "0774397817 1075659724 1577249989 0321627749 0139734339", "0775397817 0777397817 1071659724 1072659724"),
    (EuVat, "BG", "7403216504 465420593 6125099277 1826012662 1580621760", "7463216504 435420593 6126099277 6125092277"),
    (EuVat, "CY", "03010535Y 75903992E 54392323X 28723580L 75116862L", "03010531Y 03510535Y 03010535W 77903992E"),
    (EuVat, "CZ", "202305851 65123999 6872053760 203210546 887903090", "887953090 75123999 6872053460 650325528"),
    (EuVat, "DE", "805172503 773181873 142151162 792156332 216356740", "805172523 805672503 773181173 783181873"),
    (EuVat, "DK", "77276955 69686079 42434981 48561233 37795852", "77276555 77276925 70276955 62686079"),
    (EuVat, "EE", "127776466 966080818 016994252 974561219 330917559", "627776466 121776466 127776463 966080848"),
    (EuVat, "ES", "89075113T V91589358 K5174870P W74012600 Y1376023Q", "89070113T V91539358 M91589358 K4174870P"),
    (EuVat, "FI", "23970421 60221112 49917370 70099798 04744090", "23930421 43970421 23170421 60228112"),
    (EuVat, "FR", "08000856929 P6116487380 PP162903017 9X748845807 03000743599", "07000856929 P6916487380 PP162943017 9X740845807"),
    (EuVat, "GR", "900677260 731224642 082603772 035435867 904190543", "900677860 700677260 831224642 731224672"),
    (EuVat, "HR", "41440131504 02230026211 85580180230 12186490866 94038971248", "81440131504 41840131504 41420131504 02250026211"),
    (EuVat, "HU", "54836075 50100631 76595549 17684608 17504575", "54826075 59836075 59100631 50100231"),
    (EuVat, "IE", "3+98176G 4*94973P 3284596KK 5I24459W 7991158F", "8+98176G 4*94943P 3284596CK 5I94459W"),
    (EuVat, "IT", "76591950340 14360490982 55507080517 07842220365 52150480318", "76591930340 06591950340 13360490982 14360190982"),
    (EuVat, "LT", "754998417 395542686411 255739918 810278212 738963819", "554998417 395542686111 654998417 754998414"),
    (EuVat, "LU", "64797959 21423815 92909221 19613871 61764574", "64797950 64794959 64797953 21423885"),
    (EuVat, "LV", "27035514619 32682835802 32595078161 97168287828 32719529658", "27045514619 27035584619 47035514619 32692835802"),
    (EuVat, "MT", "33850755 53480479 95716971 47036440 25510941", "33850255 33830755 53680479 53480478"),
    (EuVat, "NL", "274075866B36 021209716B34 508029508B65 671202285B34 632622428B53", "274975866B36 023209716B34 021209716F34 508029508Y65"),
    (EuVat, "PL", "2797499540 3532453666 3626038620 8043943008 8434051053", "2727499540 2797499544 2797496540 3532452666"),
    (EuVat, "PT", "519249968 287660613 107689693 849088372 573099073", "619249968 519246968 287860613 287660643"),
    (EuVat, "RO", "9736281 66600342 60126 51 430245", "1736281 66600372 65126 57"),
    (EuVat, "SE", "146851672701 055081460201 873552956501 463892849101 393463541201", "246851672701 146751672701 145851672701 050081460201"),
    (EuVat, "SI", "44212399 64236722 10017739 61625337 22130373", "44252399 44212379 64216722 60236722"),
    (EuVat, "SK", "2577143052 4822024955 1688663845 2785917200 2226015330", "2577043052 2377143052 4822024855 4822024954"),
    (GbVat, "GB", "HA504 484445955 892705537097 GD311 GD349", "GA504 484485955 892707537097 HA404"),
    (ChUid, "CH", "CHE135274981TVA CHE822014753MWST CHE592305102TVA CHE324131226MWST CHE845146383MWST", "CHE135274982TVA CHE822014753MJST CHE135874981TVA CHE822014753MWSM"),
    (NoMva, "NO", "121958546MVA 247262059MVA 706887970MVA 762699613MVA 816448468MVA", "121950546MVA 181958546MVA 247292059MVA 247262359MVA"),
    (AuAbn, "AU", "34453228625 52418760209 88879835451 41960324027 59493294707", "34453928625 34453208625 34451228625 52414760209"),
    (NzGst, "NZ", "105579128 19651002 042159913 16020222 109643963", "105579148 19641002 105579138 109579128"),
    (CaGst, "CA", "257452458RT9755 270558331 551282346RT7661 402820807 678555020", "857452458RT9755 870558331 227452458RT9755 257455458RT9755"),
    (InGst, "IN", "13WUDTH1115U6ZN 04PYVPL9143DAZI 22AZTJP1381ZJZX 32QSIBY0038OVZV 18KLXTM6663LDZ6", "13WUDTH1115U6BN 04PYAPL9143DAZI 98KLXTM6663LDZ6 22AZTJP1381ZGZX"),
    (JpCorporate, "JP", "4103635979776 1045592140429 2815643750361 6493155212017 4056845448299", "4103615979776 4103635949776 4103631979776 1045592147429"),
];

/// Kind, country, as people write it, as it is kept.
#[rustfmt::skip]
const WRITTEN: &[(Kind, &str, &str, &str)] = &[
    (EuVat, "AT", "ATU13585627", "ATU13585627"),
    (EuVat, "BE", "BE 0428.759.497", "BE0428759497"),
    (EuVat, "DE", "de 136,695 976", ""),
    (EuVat, "DE", "de 136 695 976", "DE136695976"),
    (EuVat, "ES", "ES B-58378431", "ESB58378431"),
    (EuVat, "FR", "Fr 40 303 265 045", "FR40303265045"),
    (EuVat, "FR", "K7 399 859 412", "FRK7399859412"),
    (EuVat, "GR", "el 094259216", "EL094259216"),
    (EuVat, "GR", "GR 094259216", ""),
    (EuVat, "IE", "IE 6433435F", "IE6433435F"),
    (EuVat, "IE", "IE 6433435OA", "IE6433435OA"),
    (EuVat, "IE", "8D79739I", "IE8D79739I"),
    (EuVat, "NL", "NL4495445B01", ""),
    (EuVat, "NL", "004495445B01", "NL004495445B01"),
    (EuVat, "PL", "PL 8567346215", "PL8567346215"),
    (EuVat, "RO", "RO 185 472 90", "RO18547290"),
    (EuVat, "SE", "SE 123456789701", "SE123456789701"),
    (GbVat, "GB", "GB 980 7806 84", "GB980780684"),
    (GbVat, "GB", "GD001", "GBGD001"),
    (GbVat, "GB", "GB HA 501", "GBHA501"),
    (GbVat, "GB", "GD501", ""),
    (XiVat, "GB", "XI 980 7806 84", "XI980780684"),
    (ChUid, "CH", "CHE-107.787.577 IVA", "CHE107787577IVA"),
    (ChUid, "CH", "CHE-107.787.577", "CHE107787577"),
    (NoMva, "NO", "NO 995 525 828 MVA", "995525828MVA"),
    (NoMva, "NO", "995 525 828", ""),
    (AuAbn, "AU", "83 914 571 673", "83914571673"),
    (NzGst, "NZ", "49-091-850", "49091850"),
    (NzGst, "NZ", "136410132", "136410132"),
    (CaGst, "CA", "12302 6635 RT 0001", "123026635RT0001"),
    (InGst, "IN", "27AAPFU0939F1ZV", "27AAPFU0939F1ZV"),
    (InGst, "IN", "27AAPFU0939F1ZO", ""),
    (SgGst, "SG", "M90312345A", "M90312345A"),
    (SgGst, "SG", "201912345K", "201912345K"),
    (SgGst, "SG", "T08GB0001A", "T08GB0001A"),
    (SgGst, "SG", "X08GB0001A", ""),
    (JpCorporate, "JP", "5-8356-7825-6246", "5835678256246"),
    (JpCorporate, "JP", "T5835678256246", "T5835678256246"),
    (KrBrn, "KR", "124-81-00998", "1248100998"),
    (KrBrn, "KR", "124-81-00997", ""),
    (UsEin, "US", "91-1144442", "911144442"),
    (UsEin, "US", "00-1144442", ""),
];

fn country(code: &str) -> Country {
    code.parse().unwrap_or_else(|_| panic!("{code}"))
}

#[test]
fn judged_numbers() {
    for &(kind, code, right, wrong) in JUDGED {
        for number in right.split(' ') {
            assert!(check(kind, country(code), number).is_ok(), "{code} {number}");
        }
        for number in wrong.split(' ') {
            assert!(check(kind, country(code), number).is_err(), "{code} {number}");
        }
    }
    let states: std::collections::BTreeSet<_> = JUDGED
        .iter()
        .filter(|(kind, ..)| *kind == EuVat)
        .map(|(_, code, ..)| code)
        .collect();
    assert_eq!(states.len(), 27, "every member state");
}

#[test]
fn written_numbers() {
    for &(kind, code, text, kept) in WRITTEN {
        let found = check(kind, country(code), text).unwrap_or_default();
        assert_eq!(found, kept, "{code} {text}");
    }
}

#[test]
fn reasons() {
    for (kind, code, text, reason) in [
        (EuVat, "DE", "136695977", NotATaxNumber::CheckDigits),
        (EuVat, "DE", "13669597", NotATaxNumber::Form),
        (EuVat, "DE", "FR136695976", NotATaxNumber::Form),
        (EuVat, "DE", "１３６６９５９７６", NotATaxNumber::Form),
        (
            EuVat,
            "GB",
            "980780684",
            NotATaxNumber::Country {
                country: country("GB"),
            },
        ),
        (
            GbVat,
            "DE",
            "980780684",
            NotATaxNumber::Country {
                country: country("DE"),
            },
        ),
    ] {
        assert_eq!(check(kind, country(code), text), Err(reason), "{code} {text}");
    }
}

#[test]
fn texts_are_normalised() {
    assert_eq!(normalise(" che‑123.456–789 mwst\u{a0}"), "CHE123456789MWST");
}

proptest! {
    /// Any text has an answer, and what is accepted is accepted again as it is kept.
    #[test]
    fn checking_is_total(text in "[A-Z]{0,3}[0-9 .-]{0,14}[A-Z]{0,4}|\\PC{0,45}", row in 0..JUDGED.len(), kind in 0..Kind::ALL.len()) {
        let (_, code, ..) = JUDGED[row];
        if let Ok(kept) = check(Kind::ALL[kind], country(code), &text) {
            prop_assert_eq!(check(Kind::ALL[kind], country(code), &kept), Ok(kept));
        }
    }

    /// The prefix may be left out, and spaces may stand anywhere.
    #[test]
    fn one_spelling(row in 0..JUDGED.len(), pick in any::<prop::sample::Index>(), gap in 0..9_usize) {
        let (kind, code, right, _) = JUDGED[row];
        let numbers: Vec<&str> = right.split(' ').collect();
        let kept = check(kind, country(code), numbers[pick.index(numbers.len())]).unwrap();
        let (head, tail) = kept.split_at(gap.min(kept.len()));
        prop_assert_eq!(check(kind, country(code), &format!("{head} {tail}").to_lowercase()), Ok(kept));
    }
}
