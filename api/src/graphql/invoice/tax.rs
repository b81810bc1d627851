//! Tax numbers of customers.

use app::{
    error::Result,
    invoice::{self, AddRegistration},
};
use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use domain::{
    id::{CustomerId, TaxRegistrationId},
    rejection::Rejection,
    tax::{
        country::{Country, NotACountry},
        number::Kind,
        registration::{self, Status, Verdict},
    },
};

use crate::graphql::{
    caller,
    customer::customer_ref,
    error::top_level,
    payload::{payload, plain},
    scalar::{CountryCode, DateTime},
};

/// What kind of tax number it is. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Kind")]
pub enum TaxNumberKind {
    /// VAT number of a member state of the European Union.
    EuVat,
    /// VAT number of the United Kingdom.
    GbVat,
    /// VAT number of Northern Ireland. For goods only; for services its holder counts as one in the United Kingdom.
    XiVat,
    /// Switzerland: UID, with or without the ending for VAT.
    ChUid,
    /// Norway: MVA number.
    NoMva,
    /// Australia: ABN.
    AuAbn,
    /// New Zealand: GST number (IRD).
    NzGst,
    /// Canada: business number, with or without a GST/HST account.
    CaGst,
    /// India: GSTIN.
    InGst,
    /// Singapore: GST number or UEN.
    SgGst,
    /// Japan: corporate number.
    JpCorporate,
    /// South Korea: business registration number.
    KrBrn,
    /// United States: EIN.
    UsEin,
}

/// What is known of a tax number.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Status")]
pub enum TaxRegistrationStatus {
    /// Its form is right, and no register has been asked or has answered.
    Unverified,
    /// The register knows it.
    Verified,
    /// The register does not know it.
    Invalid,
}

/// A tax number that a customer has given.
#[derive(SimpleObject)]
pub struct TaxRegistration {
    /// Global id.
    pub id: ID,
    /// What kind of number.
    pub kind: TaxNumberKind,
    /// The kind in words, such as "European VAT number".
    pub description: String,
    /// Of which country.
    pub country: CountryCode,
    /// The number in its one spelling.
    pub value: String,
    /// What is known of it.
    pub status: TaxRegistrationStatus,
    /// Whose it is by the register; null: it does not tell.
    pub registered_name: Option<String>,
    /// When the register last said that it knows it; null: never.
    pub verified_at: Option<DateTime>,
    /// When it was given.
    pub created_at: DateTime,
}

impl From<registration::TaxRegistration> for TaxRegistration {
    fn from(it: registration::TaxRegistration) -> Self {
        Self {
            id: it.id.to_string().into(),
            kind: it.kind.into(),
            description: it.description().to_owned(),
            country: CountryCode(it.country.code().to_owned()),
            value: it.value,
            status: it.status.into(),
            registered_name: it.registered_name,
            verified_at: it.verified_at.map(DateTime),
            created_at: it.created_at.into(),
        }
    }
}

pub(super) fn country(code: &CountryCode, field: &str) -> Result<Country> {
    let no = |no: NotACountry| Rejection::invalid(field, no.to_string());
    Ok(code.0.parse().map_err(no)?)
}

/// A customer's tax numbers.
pub(in crate::graphql) async fn registrations(
    ctx: &Context<'_>,
    customer: CustomerId,
) -> async_graphql::Result<Vec<TaxRegistration>> {
    let (app, actor) = caller(ctx)?;
    let found = invoice::registrations(app, actor, customer)
        .await
        .map_err(top_level)?;
    Ok(found.into_iter().map(TaxRegistration::from).collect())
}

/// A tax number that a customer gives.
#[derive(InputObject)]
pub struct AddTaxRegistrationInput {
    /// The customer by id.
    pub customer_id: Option<ID>,
    /// The customer by the vendor's own name.
    pub external_customer_id: Option<String>,
    /// What kind of number.
    pub kind: TaxNumberKind,
    /// Of which country.
    pub country: CountryCode,
    /// The number. Spaces, dots and dashes do not count.
    pub value: String,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

impl AddTaxRegistrationInput {
    fn command(self) -> Result<AddRegistration> {
        Ok(AddRegistration {
            customer: customer_ref(self.customer_id, self.external_customer_id)?,
            kind: self.kind.into(),
            country: country(&self.country, "country")?,
            value: self.value,
        })
    }
}

payload! {
    /// Result of `addTaxRegistration`.
    AddTaxRegistrationPayload {
        /// The tax number; null when it was refused.
        tax_registration: TaxRegistration
    }
}

/// What a register says of a tax number.
#[derive(InputObject)]
pub struct VerifyTaxRegistrationInput {
    /// Global id of the tax number.
    pub tax_registration_id: ID,
    /// Whether the register knows it; left out: it is asked now, where this installation may.
    pub known: Option<bool>,
    /// Whose it is by the register, where it tells.
    pub registered_name: Option<String>,
}

impl VerifyTaxRegistrationInput {
    /// What somebody has looked up; `None`: nothing.
    fn verdict(self) -> Option<Verdict> {
        Some(match self.known? {
            true => Verdict::Known(self.registered_name),
            false => Verdict::Unknown,
        })
    }
}

payload! {
    /// Result of `verifyTaxRegistration`.
    VerifyTaxRegistrationPayload {
        /// The tax number afterwards; null when it was refused.
        tax_registration: TaxRegistration
    }
}

/// A tax number to remove.
#[derive(InputObject)]
pub struct RemoveTaxRegistrationInput {
    /// Global id of the tax number.
    pub tax_registration_id: ID,
}

payload! {
    /// Result of `removeTaxRegistration`.
    RemoveTaxRegistrationPayload {
        /// What was removed; null when it was refused.
        tax_registration: TaxRegistration
    }
}

fn named(id: &ID) -> Result<TaxRegistrationId> {
    let unknown = || Rejection::not_found("taxRegistrationId", "tax number");
    Ok(id.parse().map_err(|_| unknown())?)
}

/// Writes of tax numbers.
#[derive(Default)]
pub struct TaxMutation;

#[Object]
impl TaxMutation {
    /// Adds a tax number of a customer. Its form and check digits are looked at; it is `UNVERIFIED` until `verifyTaxRegistration`. Needs
    /// `invoice:write`.
    async fn add_tax_registration(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose, and which.")] input: AddTaxRegistrationInput,
    ) -> async_graphql::Result<AddTaxRegistrationPayload> {
        let (app, actor) = caller(ctx)?;
        let key = input.idempotency_key.clone();
        let outcome = match input.command() {
            Ok(command) => invoice::add_registration(app, actor, command, &key).await,
            Err(error) => Err(error),
        };
        AddTaxRegistrationPayload::from_outcome(outcome, TaxRegistration::from)
    }

    /// Notes what the register of a country says of a tax number, or asks it: VIES for those of the European Union. Only a verified number
    /// leaves the tax to the buyer. Needs `invoice:write`.
    async fn verify_tax_registration(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and what the register says.")] input: VerifyTaxRegistrationInput,
    ) -> async_graphql::Result<VerifyTaxRegistrationPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match named(&input.tax_registration_id) {
            Ok(id) => match input.verdict() {
                Some(verdict) => invoice::verify_registration(app, actor, id, verdict).await,
                None => invoice::ask_register(app, actor, id).await,
            },
            Err(error) => Err(error),
        };
        VerifyTaxRegistrationPayload::from_outcome(plain(outcome), TaxRegistration::from)
    }

    /// Removes a tax number of a customer. Invoices that were issued with it keep it. Needs `invoice:write`.
    async fn remove_tax_registration(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: RemoveTaxRegistrationInput,
    ) -> async_graphql::Result<RemoveTaxRegistrationPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match named(&input.tax_registration_id) {
            Ok(id) => invoice::remove_registration(app, actor, id).await,
            Err(error) => Err(error),
        };
        RemoveTaxRegistrationPayload::from_outcome(plain(outcome), TaxRegistration::from)
    }
}
