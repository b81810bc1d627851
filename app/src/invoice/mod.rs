//! Invoices: what customers are asked to pay, how it is collected, and how it is put right.
//!
//! A cycle that closes waits for its invoice ([`mod@bill`]), and so do renewals ([`mod@renewal`]), changes of plan within a cycle that was
//! paid ahead ([`mod@change`]) and usage that comes after its cycle was billed ([`late`]); a payment for credits gets a receipt
//! ([`receipt`]). A draft is issued with the next number of its vendor ([`issue`]), charged by a payment like any other ([`mod@collect`]),
//! and put right by hand ([`correct`]). The rules are in [`domain::invoice`] and [`domain::tax`].

mod bill;
mod change;
mod collect;
mod correct;
mod document;
mod draft;
mod event;
mod issue;
mod kept;
mod late;
mod party;
mod receipt;
mod refund;
mod renewal;
mod setting;
mod store;
mod tax;
mod view;

pub(crate) use self::{
    bill::{bill, to_bill},
    collect::{advance_of, collect, default_was_in, due, hasten_in, heard_in, next_due},
    receipt::receipt_in,
    refund::{check_refund_in, note_of_return_in, returned_in},
    store::{links_in, look_again_in, mark_late_in},
};
pub use self::{
    correct::{CreateCreditNote, PayInvoice, PayWith, credit_note, finalise, give_up, pay, void},
    document::printed,
    setting::{Setting, setting, update_setting},
    tax::{
        AddRegistration, add_registration, ask_register, registrations, remove_registration,
        verify_registration,
    },
    view::{
        CreditNoteView, DOCUMENTS, Filed, Listed, credit_notes, document_by_link, invoice, invoices,
        money_balances, page_path, payments_due, pdf_path,
    },
};
