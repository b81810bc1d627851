//! Invoices and credit notes as pages and PDFs. Whoever has the address may read them: it cannot be guessed.

use std::sync::Arc;

use app::invoice;
use axum::{
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use gateway::document::{html, pdf};

use crate::server::Service;

/// Longest end of an address, in bytes: more leads nowhere.
const MAX_LINK: usize = 100;
/// What tells the PDF from the page.
const PDF: &str = ".pdf";

/// Answers with the page at an address, or with its PDF.
pub(crate) async fn serve(State(service): State<Arc<Service>>, Path(name): Path<String>) -> Response {
    let link = name.strip_suffix(PDF).unwrap_or(&name);
    if link.is_empty() || link.len() > MAX_LINK {
        return StatusCode::NOT_FOUND.into_response();
    }
    let Ok(_place) = service.places.try_acquire() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let listed = match invoice::document_by_link(&service.app, link).await {
        Ok(Some(listed)) => listed,
        Ok(None) => return StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            tracing::error!(%error, "a document cannot be read");
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    };
    let document = invoice::printed(&listed, &invoice::pdf_path(link));
    if name.len() == link.len() {
        return Html(html(&document)).into_response();
    }
    // It takes a while, and nobody else is to wait for it.
    let printing = tokio::task::spawn_blocking(move || pdf(&document)).await;
    match printing {
        Ok(Ok(bytes)) => {
            let kind = HeaderValue::from_static("application/pdf");
            ([(header::CONTENT_TYPE, kind)], bytes).into_response()
        }
        Ok(Err(error)) => failed(&error.to_string()),
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(error: &str) -> Response {
    tracing::error!(error, "a document cannot be printed");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
