//! A letter in the form in which mail servers take it.

use lettre::{
    Message,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};

use super::{Letter, NotSent, facts::line};

/// Longest subject, in characters: longer ones are cut by mail programs anyhow.
const LONGEST_SUBJECT: usize = 250;
/// Longest identity that is kept whole, in characters.
const LONGEST_ID: usize = 100;

/// The letter, from its own sender or from the usual one.
pub(super) fn compose(letter: &Letter, usual: &Mailbox) -> Result<Message, NotSent> {
    let from = match &letter.from {
        Some(from) => mailbox(from, "sender")?,
        None => usual.clone(),
    };
    let id = format!("<{}@{}>", token(&letter.id), from.email.domain());
    let mut message = Message::builder()
        .from(from)
        .to(mailbox(&letter.to, "receiver")?)
        .subject(line(&letter.subject, LONGEST_SUBJECT))
        .message_id(Some(id))
        .multipart(MultiPart::alternative_plain_html(
            letter.text.clone(),
            letter.html.clone(),
        ))
        .map_err(|error| NotSent::Refused(error.to_string()))?;
    // So that nobody's absence is announced to us.
    let name = HeaderName::new_from_ascii_str("Auto-Submitted");
    let value = HeaderValue::new(name, "auto-generated".to_owned());
    message.headers_mut().insert_raw(value);
    Ok(message)
}

/// An address, with a name or without. An address that is none will never be one.
fn mailbox(text: &str, whose: &str) -> Result<Mailbox, NotSent> {
    let plain = !text.chars().any(char::is_control);
    let mailbox = text.parse().ok().filter(|_| plain);
    mailbox.ok_or_else(|| NotSent::Refused(format!("the address of the {whose} is none")))
}

/// An identity as the header takes it.
fn token(id: &str) -> String {
    let plain = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_');
    let signs = id.chars().take(LONGEST_ID);
    signs.map(|sign| if plain(sign) { sign } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> Letter {
        Letter {
            from: None,
            to: "Ada Łovelace <ada@example.com>".to_owned(),
            subject: "Grüße aus Łódź".to_owned(),
            text: "Hello.\n.\nBye, Łódź.\n".to_owned(),
            html: "<p>Hello, Łódź.</p>".to_owned(),
            id: "evt_0198c0de".to_owned(),
        }
    }

    fn usual() -> Mailbox {
        "Tallygate <billing@vendor.example>".parse().unwrap()
    }

    fn written(letter: &Letter) -> String {
        let message = compose(letter, &usual()).unwrap();
        String::from_utf8(message.formatted()).unwrap()
    }

    #[test]
    fn all_that_a_letter_has() {
        let text = written(&letter());
        assert!(text.is_ascii());
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        for part in [
            "From: Tallygate <billing@vendor.example>",
            "ada@example.com",
            "Subject: =?utf-8?",
            "Message-ID: <evt_0198c0de@vendor.example>",
            "Auto-Submitted: auto-generated",
            "Date: ",
            "MIME-Version: 1.0",
            "multipart/alternative",
        ] {
            assert!(head.contains(part), "{part}: {head}");
        }
        let plain = body.find("text/plain; charset=utf-8").unwrap();
        assert!(plain < body.find("text/html; charset=utf-8").unwrap());
    }

    #[test]
    fn a_letter_of_another_sender() {
        let from = Some("Acme <money@acme.example>".to_owned());
        let text = written(&Letter { from, ..letter() });
        assert!(text.contains("From: Acme <money@acme.example>\r\n"));
        assert!(text.contains("Message-ID: <evt_0198c0de@acme.example>\r\n"));
    }

    #[test]
    fn nobody_adds_headers() {
        let text = written(&Letter {
            subject: "Hello\r\nBcc: eve@example.com\r\n\r\nbody".to_owned(),
            id: "a>\r\nBcc: eve@example.com".to_owned(),
            ..letter()
        });
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        assert!(head.contains("Message-ID: <a---Bcc--eve-example-com@vendor.example>"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for to in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@example.com, eve@example.com",
            "ada@example.com\r\nBcc: eve@example.com",
            "Ada\r\nBcc: eve@example.com <ada@example.com>",
            "ada@example.com>\r\nRCPT TO:<eve@example.com",
            "ada @example.com",
        ] {
            for (to, from) in [(to, None), ("ada@example.com", Some(to.to_owned()))] {
                let letter = Letter {
                    to: to.to_owned(),
                    from,
                    ..letter()
                };
                let result = compose(&letter, &usual());
                assert!(matches!(result, Err(NotSent::Refused(_))), "{letter:?}");
            }
        }
    }
}
