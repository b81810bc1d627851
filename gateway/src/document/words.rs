//! The few words that do not come with a document.

/// The language of all words here, as HTML and PDF name it.
pub(super) const LANGUAGE: &str = "en";
/// Above the seller.
pub(super) const SELLER: &str = "From";
/// Above the buyer.
pub(super) const BUYER: &str = "Billed to";
/// Above the descriptions.
pub(super) const DESCRIPTION: &str = "Description";
/// Above the quantities.
pub(super) const QUANTITY: &str = "Quantity";
/// Above the prices.
pub(super) const UNIT_PRICE: &str = "Unit price";
/// Above the amounts.
pub(super) const AMOUNT: &str = "Amount";
/// The rows below the table, for who cannot see where they stand.
pub(super) const TOTALS: &str = "Totals";
/// The link to the PDF.
pub(super) const DOWNLOAD: &str = "Download PDF";

/// At the foot of a page.
pub(super) fn page(page: usize, pages: usize) -> String {
    format!("Page {page} of {pages}")
}
