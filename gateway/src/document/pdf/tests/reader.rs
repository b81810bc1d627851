//! Just enough of a reader to get the text out of our own PDFs: pages, their fonts, and what their glyphs mean.

use std::{collections::BTreeMap, io::Read};

/// What each glyph of a font means.
type Meanings = BTreeMap<u16, String>;

/// The texts of every page, in the order in which they are drawn.
pub(super) fn read(pdf: &[u8]) -> Vec<Vec<String>> {
    let objects = objects(pdf);
    objects
        .values()
        .filter(|(head, _)| head.contains("/Type/Page/"))
        .map(|(head, _)| {
            let (resources, _) = &objects[&reference(head, "/Resources ")];
            let fonts = resources
                .split_once("/Font<<")
                .map_or("", |(_, fonts)| fonts)
                .split('/')
                .filter_map(|font| Some((font.split_once(' ')?.0.to_owned(), reference(font, " "))))
                .filter(|(_, at)| objects[at].0.contains("/ToUnicode "))
                .map(|(name, at)| {
                    (
                        name,
                        meanings(&objects[&reference(&objects[&at].0, "/ToUnicode ")].1),
                    )
                })
                .collect();
            texts(&objects[&reference(head, "/Contents ")].1, &fonts)
        })
        .collect()
}

/// Objects by their number: the dictionary, and the stream unpacked. Nothing in a packed stream is taken for an object: each is found
/// where the table at the end says.
fn objects(pdf: &[u8]) -> BTreeMap<usize, (String, Vec<u8>)> {
    let text = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
    let end = text(&pdf[pdf.len() - 40..]);
    let start = end
        .split("startxref")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    let table = text(&pdf[start.parse().unwrap()..]);
    let offsets = table.lines().filter(|line| line.trim_end().ends_with(" n"));
    offsets
        .map(|line| {
            let object = &pdf[line[..10].parse().unwrap()..];
            let number = text(&object[..10]).split(' ').next().unwrap().parse().unwrap();
            let head_ends = find(object, b"endobj").min(find(object, b"stream\n"));
            let head = text(&object[..head_ends]);
            let mut stream = Vec::new();
            if head.contains("/FlateDecode") {
                let packed = &object[head_ends + 7..];
                unpack(packed, &mut stream);
            }
            (number, (head, stream))
        })
        .collect()
}

/// Unpacks a stream.
fn unpack(packed: &[u8], out: &mut Vec<u8>) {
    flate2::read::ZlibDecoder::new(packed).read_to_end(out).unwrap();
}

/// Where something is, or the end.
fn find(bytes: &[u8], what: &[u8]) -> usize {
    let mut windows = bytes.windows(what.len());
    windows.position(|window| window == what).unwrap_or(bytes.len())
}

/// The number of the object to which a key leads.
fn reference(head: &str, key: &str) -> usize {
    let (_, rest) = head.split_once(key).unwrap();
    rest.split(' ').next().unwrap().parse().unwrap()
}

/// What the glyphs of a font mean.
fn meanings(cmap: &[u8]) -> Meanings {
    let cmap = std::str::from_utf8(cmap).unwrap();
    let units = |hex: &str| {
        let hex = hex.trim_matches(['<', '>']);
        let units = (0..hex.len() / 4).map(|at| u16::from_str_radix(&hex[at * 4..at * 4 + 4], 16).unwrap());
        units.collect::<Vec<_>>()
    };
    let mut meanings = Meanings::new();
    for part in cmap.split("beginbfchar").skip(1) {
        for line in part.split("endbfchar").next().unwrap().trim().lines() {
            let (glyph, text) = line.split_once(' ').unwrap();
            meanings.insert(units(glyph)[0], String::from_utf16(&units(text)).unwrap());
        }
    }
    meanings
}

/// The texts of a page.
fn texts(content: &[u8], fonts: &BTreeMap<String, Meanings>) -> Vec<String> {
    let mut texts = Vec::new();
    let mut glyphs = Vec::new();
    let mut font = &Meanings::new();
    let mut dictionaries = 0;
    let mut at = 0;
    while at < content.len() {
        match &content[at..] {
            [b'<', b'<', ..] => (dictionaries, at) = (dictionaries + 1, at + 1),
            [b'>', b'>', ..] => (dictionaries, at) = (dictionaries - 1, at + 1),
            [b'/', b'f', rest @ ..] => {
                let name = rest
                    .iter()
                    .take_while(|byte| byte.is_ascii_digit())
                    .map(|byte| char::from(*byte));
                font = fonts
                    .get(&format!("f{}", name.collect::<String>()))
                    .unwrap_or(font);
            }
            [b'(', ..] => {
                let (bytes, length) = string(&content[at + 1..]);
                if dictionaries == 0 {
                    glyphs.extend(
                        bytes
                            .chunks(2)
                            .map(|pair| font[&u16::from_be_bytes([pair[0], pair[1]])].clone()),
                    );
                }
                at += length;
            }
            [b'E', b'T', ..] => texts.push(std::mem::take(&mut glyphs).concat()),
            _ => {}
        }
        at += 1;
    }
    texts
}

/// The bytes of a string in parentheses, and how much of the content it takes.
fn string(content: &[u8]) -> (Vec<u8>, usize) {
    let mut bytes = Vec::new();
    let mut at = 0;
    let mut open = 0;
    loop {
        let byte = content[at];
        at += 1;
        match byte {
            b'\\' => {
                let escaped = content[at];
                let octal = content[at..]
                    .iter()
                    .take(3)
                    .take_while(|byte| (b'0'..=b'7').contains(byte))
                    .count();
                let code = content[at..at + octal]
                    .iter()
                    .fold(0_u32, |code, byte| code * 8 + u32::from(byte - b'0'));
                at += octal.max(1);
                bytes.push(match escaped {
                    _ if octal > 0 => u8::try_from(code).unwrap(),
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'f' => 12,
                    other => other,
                });
                continue;
            }
            b'(' => open += 1,
            b')' if open == 0 => return (bytes, at),
            b')' => open -= 1,
            _ => {}
        }
        bytes.push(byte);
    }
}
