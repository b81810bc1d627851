//! temporary
use super::*;
use crate::document::samples::{invoice, long};
#[test]
fn out() {
    std::fs::create_dir_all("/tmp/h-doc2-out").unwrap();
    let mut receipt = invoice();
    receipt.watermark = Some("Void".into());
    receipt.buyer.name = "株式会社アクメ שלום".into();
    for (n, d) in [
        ("one", invoice()),
        ("three", long(60)),
        ("void", receipt),
        ("empty", Document::default()),
    ] {
        std::fs::write(format!("/tmp/h-doc2-out/{n}.pdf"), pdf(&d).unwrap()).unwrap();
        std::fs::write(format!("/tmp/h-doc2-out/{n}.html"), crate::document::html(&d)).unwrap();
    }
}
