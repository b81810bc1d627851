//! How a vendor bills, and who sells and buys.

use app::{
    error::Result,
    invoice::{self, Setting},
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use domain::{
    invoice::{
        party::{Address, Party, TaxId},
        terms::BillingTerms,
    },
    rejection::Rejection,
    tax::{levy::Prices, rate::TaxRate},
};

use super::tax::country;
use crate::graphql::{
    caller,
    payload::{payload, plain},
    scalar::{CountryCode, DateTime, Decimal, EmailAddress},
};

/// A tax number as it is printed.
#[derive(SimpleObject)]
pub struct PrintedTaxId {
    /// What kind of number, in words.
    pub description: String,
    /// Of which country.
    pub country: CountryCode,
    /// The number.
    pub value: String,
}

impl From<TaxId> for PrintedTaxId {
    fn from(id: TaxId) -> Self {
        Self {
            description: id.description,
            country: CountryCode(id.country.code().to_owned()),
            value: id.value,
        }
    }
}

/// Who sells or buys, as it stands on an invoice. Empty texts: not given.
#[derive(SimpleObject)]
pub struct InvoiceParty {
    /// Name of the company or person.
    pub name: String,
    /// Street and number.
    pub line1: String,
    /// What else helps to find it.
    pub line2: String,
    /// City.
    pub city: String,
    /// Postal code.
    pub postal_code: String,
    /// Region or province.
    pub region: String,
    /// Country; null: not given.
    pub country: Option<CountryCode>,
    /// Where invoices are sent; null: not given.
    pub email: Option<EmailAddress>,
    /// Its tax numbers.
    pub tax_ids: Vec<PrintedTaxId>,
    /// Number of the buyer's purchase order; null: not given.
    pub purchase_order: Option<String>,
}

impl From<Party> for InvoiceParty {
    fn from(party: Party) -> Self {
        let address = party.address;
        Self {
            name: party.name,
            line1: address.line1,
            line2: address.line2,
            city: address.city,
            postal_code: address.postal_code,
            region: address.region,
            country: address.country.map(|it| CountryCode(it.code().to_owned())),
            email: party.email.map(EmailAddress),
            tax_ids: party.tax_ids.into_iter().map(PrintedTaxId::from).collect(),
            purchase_order: party.purchase_order,
        }
    }
}

/// A tax that the vendor has to charge.
#[derive(SimpleObject)]
pub struct InvoiceTaxRate {
    /// Of which country.
    pub country: CountryCode,
    /// Of which region, as its code in ISO 3166-2 without the country; null: the whole country.
    pub region: Option<String>,
    /// What it is called on invoices.
    pub name: String,
    /// How much in a hundred.
    pub percent: Decimal,
}

/// How the vendor bills.
#[derive(SimpleObject)]
pub struct InvoiceSettings {
    /// The vendor, as it stands on invoices.
    pub seller: InvoiceParty,
    /// The vendor's own VAT number; null: it has none.
    pub vat_number: Option<String>,
    /// What numbers begin with.
    pub number_prefix: String,
    /// Days until an invoice is to be paid.
    pub net_days: i32,
    /// Whether fees and prices in money contain the taxes.
    pub prices_include_tax: bool,
    /// The taxes that the vendor has to charge.
    pub tax_rates: Vec<InvoiceTaxRate>,
    /// Whether invoices are charged to the customer's default way to pay.
    pub collect_automatically: bool,
    /// How long a draft waits before it is issued by itself, in seconds.
    pub draft_seconds: i32,
    /// What else stands on every invoice; null: nothing.
    pub footer: Option<String>,
    /// When it last changed.
    pub updated_at: DateTime,
}

impl From<Setting> for InvoiceSettings {
    fn from(setting: Setting) -> Self {
        let terms = setting.terms;
        let rates = terms.rates.into_iter().map(|rate| InvoiceTaxRate {
            country: CountryCode(rate.country.code().to_owned()),
            region: rate.region,
            name: rate.name,
            percent: rate.percent.into(),
        });
        Self {
            seller: terms.seller.into(),
            vat_number: terms.vat_number,
            number_prefix: terms.prefix.to_string(),
            net_days: terms.net_days,
            prices_include_tax: terms.prices == Prices::WithTax,
            tax_rates: rates.collect(),
            collect_automatically: terms.collects,
            // At most thirty days.
            draft_seconds: i32::try_from(terms.draft_seconds).unwrap_or(i32::MAX),
            footer: terms.footer,
            updated_at: setting.updated_at.into(),
        }
    }
}

/// The vendor, as it stands on invoices. Each text has at most 200 characters.
#[derive(InputObject)]
pub struct InvoiceSellerInput {
    /// Name of the company or person.
    pub name: String,
    /// Street and number.
    #[graphql(default)]
    pub line1: String,
    /// What else helps to find it.
    #[graphql(default)]
    pub line2: String,
    /// City.
    #[graphql(default)]
    pub city: String,
    /// Postal code.
    #[graphql(default)]
    pub postal_code: String,
    /// Region or province, as its code in ISO 3166-2 without the country where taxes depend on it.
    #[graphql(default)]
    pub region: String,
    /// Country. Taxes depend on it.
    pub country: CountryCode,
    /// Where questions go.
    pub email: Option<EmailAddress>,
}

impl InvoiceSellerInput {
    fn party(self) -> Result<Party> {
        Ok(Party {
            name: self.name,
            address: Address {
                line1: self.line1,
                line2: self.line2,
                city: self.city,
                postal_code: self.postal_code,
                region: self.region,
                country: Some(country(&self.country, "seller.country")?),
            },
            email: self.email.map(|email| email.0),
            tax_ids: Vec::new(),
            purchase_order: None,
        })
    }
}

/// A tax that the vendor has to charge.
#[derive(InputObject)]
pub struct InvoiceTaxRateInput {
    /// Of which country.
    pub country: CountryCode,
    /// Of which region, as its code in ISO 3166-2 without the country; left out: the whole country.
    pub region: Option<String>,
    /// What it is called on invoices, such as `VAT`; 1 to 40 characters.
    pub name: String,
    /// How much in a hundred: 0 to 100, with up to four decimal places.
    pub percent: Decimal,
}

impl InvoiceTaxRateInput {
    fn rate(self, index: usize) -> Result<TaxRate> {
        let field = |name| format!("taxRates.{index}.{name}");
        Ok(TaxRate {
            country: country(&self.country, &field("country"))?,
            region: self.region,
            name: self.name,
            percent: self.percent.percent(&field("percent"))?,
        })
    }
}

/// How the vendor bills from now on. What was issued stays as it is.
#[derive(InputObject)]
pub struct UpdateInvoiceSettingsInput {
    /// The vendor, as it stands on invoices.
    pub seller: InvoiceSellerInput,
    /// The vendor's own VAT number, such as `DE136695976`. Without one, a seller in the EU cannot leave the tax to the buyer.
    pub vat_number: Option<String>,
    /// What numbers begin with: 1 to 12 of `A` to `Z`, digits and dashes.
    #[graphql(default_with = "\"INV\".to_owned()")]
    pub number_prefix: String,
    /// Days until an invoice is to be paid, 0 to 366.
    #[graphql(default = 14)]
    pub net_days: i32,
    /// Whether fees and prices in money contain the taxes.
    #[graphql(default)]
    pub prices_include_tax: bool,
    /// The taxes that the vendor has to charge, at most 500.
    #[graphql(default)]
    pub tax_rates: Vec<InvoiceTaxRateInput>,
    /// Whether invoices are charged to the customer's default way to pay.
    #[graphql(default = true)]
    pub collect_automatically: bool,
    /// How long a draft waits before it is issued by itself, in seconds: 0 to 30 days.
    #[graphql(default)]
    pub draft_seconds: i32,
    /// What else stands on every invoice, at most 1,000 characters.
    pub footer: Option<String>,
}

impl UpdateInvoiceSettingsInput {
    fn terms(self) -> Result<BillingTerms> {
        let prefix = self.number_prefix.parse();
        let rates = self.tax_rates.into_iter().enumerate();
        Ok(BillingTerms {
            seller: self.seller.party()?,
            vat_number: self.vat_number,
            prefix: prefix.map_err(|no: domain::invoice::number::NotAPrefix| {
                Rejection::invalid("numberPrefix", no.to_string())
            })?,
            net_days: self.net_days,
            prices: if self.prices_include_tax {
                Prices::WithTax
            } else {
                Prices::WithoutTax
            },
            rates: rates
                .map(|(index, rate)| rate.rate(index))
                .collect::<Result<_>>()?,
            collects: self.collect_automatically,
            draft_seconds: self.draft_seconds.into(),
            footer: self.footer,
        })
    }
}

payload! {
    /// Result of `updateInvoiceSettings`.
    UpdateInvoiceSettingsPayload {
        /// How it is from now on; null when it was refused.
        invoice_settings: InvoiceSettings
    }
}

/// Writes of how a vendor bills.
#[derive(Default)]
pub struct SettingMutation;

#[Object]
impl SettingMutation {
    /// Says how the vendor bills. Said for the first time, it begins billing: postpaid cycles that close from then on get an invoice, and
    /// purchases a receipt. Needs `invoice:write`.
    async fn update_invoice_settings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How it is to be.")] input: UpdateInvoiceSettingsInput,
    ) -> async_graphql::Result<UpdateInvoiceSettingsPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.terms() {
            Ok(terms) => invoice::update_setting(app, actor, terms).await,
            Err(error) => Err(error),
        };
        UpdateInvoiceSettingsPayload::from_outcome(plain(outcome), InvoiceSettings::from)
    }
}
