//! The server that letters are sent by, and the address that they lead to.

use std::sync::Arc;

use gateway::{
    mail::{BadSmtp, Post, Smtp},
    public::PublicUrl,
};

use super::layer::Given;
use crate::failure::{Failure, Outcome};

/// The post; `None`: there is no server, and letters are kept to be read. A complaint does not show the address of the server.
pub(super) fn post(server: Option<&Given>, from: Option<&Given>) -> Outcome<Option<Arc<dyn Post>>> {
    let (server, from) = match (server, from) {
        (None, None) => return Ok(None),
        (Some(server), Some(from)) => (server, from),
        (Some(given), None) => {
            return Err(Failure::of(
                &given.source,
                "a server needs TALLYGATE_MAIL_FROM, whom letters come from",
            ));
        }
        (None, Some(given)) => {
            return Err(Failure::of(
                &given.source,
                "a sender needs TALLYGATE_SMTP_URL, the server to send by",
            ));
        }
    };
    let smtp = Smtp::new(&server.value, &from.value).map_err(|why| {
        let to_blame = match &why {
            BadSmtp::From(_) => from,
            BadSmtp::Server(_) | BadSmtp::NoTrust(_) => server,
        };
        Failure::of(&to_blame.source, why.to_string())
    })?;
    Ok(Some(Arc::new(smtp)))
}

/// Where people reach the API.
pub(super) fn public_url(given: &Given) -> Outcome<PublicUrl> {
    PublicUrl::parse(&given.value).map_err(|why| Failure::of(&given.source, why.to_string()))
}
