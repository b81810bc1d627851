//! Who may do what: one line per root field, and per field of an object that asks for a scope of its own.

use std::fmt::Write;

use app::Scope::{self, *};

/// What a customer token may do with a field, given the scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// Ask about its own account; another customer does not exist.
    Own,
    /// Ask about what is the same for all customers of the tenant.
    Shared,
    /// Nothing.
    Never,
}

/// What is expected of one field.
pub struct Line {
    /// `Query`, `Mutation`, `Subscription`, or an object.
    pub of: &'static str,
    pub field: &'static str,
    /// What a credential needs.
    pub needs: &'static [Scope],
    pub token: Token,
    /// The field with arguments that are fine, without the word before it. Words in capitals stand for what the target owns.
    pub request: &'static str,
}

const fn line(
    of: &'static str,
    field: &'static str,
    needs: &'static [Scope],
    token: Token,
    request: &'static str,
) -> Line {
    Line {
        of,
        field,
        needs,
        token,
        request,
    }
}

use Token::{Never, Own, Shared};

#[rustfmt::skip]
pub const TABLE: &[Line] = &[
    line("Query", "apiKeys", &[AccessRead], Never, "apiKeys { nodes { id name } }"),
    line("Query", "audit", &[OperationsRead], Never, "audit { waitingCustomers violations { nodes { id } } }"),
    line("Query", "customer", &[CustomerRead], Own, r#"customer(id: "CUSTOMER") { id name }"#),
    line("Query", "customer", &[CustomerRead], Own, r#"customer(externalId: "EXTERNAL") { id name }"#),
    line("Query", "customers", &[CustomerRead], Never, "customers { nodes { id name } }"),
    line("Query", "entitlement", &[EntitlementRead], Own, r#"entitlement(customerId: "CUSTOMER", metricKey: "METRIC") { reason available }"#),
    line(
        "Query",
        "entitlements",
        &[EntitlementRead],
        Own,
        r#"entitlements(checks: [{customerId: "CUSTOMER", metricKey: "METRIC"}]) { reason available }"#,
    ),
    line("Query", "eventTypes", &[], Shared, "eventTypes { name version schema }"),
    line("Query", "events", &[EventRead], Never, "events { position events { id } }"),
    line("Query", "mailSettings", &[OperationsRead], Never, "mailSettings { enabled types }"),
    line("Query", "outbox", &[OperationsRead], Never, "outbox { nodes { id address subject } }"),
    line("Query", "webhookDeliveries", &[WebhookRead], Never, r#"webhookDeliveries(endpointId: "HOOK") { nodes { id state } }"#),
    line("Query", "webhookEndpoints", &[WebhookRead], Never, "webhookEndpoints { nodes { id description } }"),
    line("Query", "explainEntry", &[CreditRead, UsageRead, CatalogRead], Own, r#"explainEntry(id: "ENTRY") { entry { id } block { description } events { id } }"#),
    line("Query", "invoice", &[InvoiceRead], Own, r#"invoice(id: "INVOICE") { number }"#),
    line("Query", "invoiceSettings", &[InvoiceRead], Shared, "invoiceSettings { numberPrefix }"),
    line("Query", "jobs", &[OperationsRead], Never, "jobs { asOf }"),
    line("Query", "meteringRules", &[CatalogRead], Shared, r#"meteringRules(metricKey: "METRIC") { nodes { id } }"#),
    line("Query", "metric", &[CatalogRead], Shared, r#"metric(key: "METRIC") { id name }"#),
    line("Query", "metrics", &[CatalogRead], Shared, "metrics { nodes { id name } }"),
    line("Query", "node", &[AccessRead], Never, r#"node(id: "KEY") { id ... on ApiKey { name } }"#),
    line("Query", "node", &[CreditRead], Own, r#"node(id: "BLOCK") { id ... on CreditBlock { description } }"#),
    line("Query", "node", &[CustomerRead], Own, r#"node(id: "CUSTOMER") { id ... on Customer { name } }"#),
    line("Query", "node", &[CreditRead], Own, r#"node(id: "ENTRY") { id }"#),
    line("Query", "node", &[UsageRead], Own, r#"node(id: "EVENT") { id }"#),
    line("Query", "node", &[UsageRead], Own, r#"node(id: "HELD") { id ... on Reservation { idempotencyKey } }"#),
    line("Query", "node", &[CatalogRead], Shared, r#"node(id: "METER") { id ... on Metric { name } }"#),
    line("Query", "node", &[CatalogRead], Shared, r#"node(id: "RULE") { id }"#),
    line("Query", "node", &[OperationsRead], Never, r#"node(id: "WORK") { id }"#),
    line("Query", "node", &[CatalogRead], Shared, r#"node(id: "PLAN") { id ... on Plan { name } }"#),
    line("Query", "node", &[CatalogRead], Shared, r#"node(id: "TEMPLATE") { id }"#),
    line("Query", "node", &[CatalogRead], Shared, r#"node(id: "VARIANT") { id ... on PlanVariant { name } }"#),
    line("Query", "node", &[SubscriptionRead], Own, r#"node(id: "AGREED") { id ... on PlanSubscription { externalId } }"#),
    line("Query", "node", &[SubscriptionRead], Own, r#"node(id: "TOLD") { id }"#),
    line("Query", "node", &[OperationsRead], Never, r#"node(id: "CLOCK") { id ... on TestClock { name } }"#),
    line("Query", "node", &[PaymentRead], Own, r#"node(id: "PAYMENT") { id }"#),
    line("Query", "node", &[InvoiceRead], Own, r#"node(id: "INVOICE") { id }"#),
    line("Query", "overshootDefault", &[CustomerRead], Never, "overshootDefault { overshootLimit beyondOvershoot }"),
    line("Query", "overshootReport", &[CreditRead], Never, r#"overshootReport(from: "2026-01-01T00:00:00Z", to: "2100-01-01T00:00:00Z") { writtenOff writeOffs { nodes { reason } } }"#),
    line("Query", "payment", &[PaymentRead], Own, r#"payment(id: "PAYMENT") { id }"#),
    line("Query", "paymentMethodSetup", &[PaymentRead], Own, r#"paymentMethodSetup(id: "SETUP") { id }"#),
    line("Query", "paymentSettings", &[PaymentRead], Shared, "paymentSettings { provider }"),
    line("Query", "plan", &[CatalogRead], Shared, r#"plan(id: "PLAN") { id name variants { nodes { id grantTemplates { nodes { id } } } } }"#),
    line("Query", "plan", &[CatalogRead], Shared, r#"plan(key: "OFFER") { id name }"#),
    line("Query", "planVariant", &[CatalogRead], Shared, r#"planVariant(id: "VARIANT") { id name }"#),
    line("Query", "plans", &[CatalogRead], Shared, "plans { nodes { id name } }"),
    line("Query", "pricePreview", &[CatalogRead], Own, r#"pricePreview(customerId: "CUSTOMER", metricKey: "METRIC", units: "1") { credits }"#),
    line("Query", "pricePreview", &[CatalogRead], Shared, r#"pricePreview(metricKey: "METRIC", units: "1") { credits }"#),
    line("Query", "pricePreview", &[CatalogRead], Shared, r#"pricePreview(metricKey: "METRIC", units: "1", variantId: "VARIANT") { credits }"#),
    line("Query", "subscription", &[SubscriptionRead], Own, r#"subscription(id: "AGREED") { id externalId }"#),
    line("Query", "subscription", &[SubscriptionRead], Own, r#"subscription(externalId: "NAMED") { id externalId }"#),
    line("Query", "testClock", &[OperationsRead], Never, r#"testClock(id: "CLOCK") { id name customerIds }"#),
    line("Query", "testClocks", &[OperationsRead], Never, "testClocks { nodes { id name } }"),
    line("Query", "usageEvent", &[UsageRead], Own, r#"usageEvent(key: "PRODUCED") { id }"#),
    line("Query", "viewer", &[], Shared, "viewer { kind tenant { name } apiKeyId customerId scopes expiresAt }"),

    line("Customer", "balance", &[CustomerRead, CreditRead], Own, r#"customer(id: "CUSTOMER") { balance { remaining } }"#),
    line("Customer", "blocks", &[CustomerRead, CreditRead], Own, r#"customer(id: "CUSTOMER") { blocks { nodes { id description } } }"#),
    line("Customer", "creditOverview", &[CustomerRead, CreditRead], Own, r#"customer(id: "CUSTOMER") { creditOverview { granted } }"#),
    line("Customer", "cycles", &[CustomerRead, SubscriptionRead], Own, r#"customer(id: "CUSTOMER") { cycles { nodes { number } } }"#),
    line("Customer", "spend", &[CustomerRead, CreditRead], Own, r#"customer(id: "CUSTOMER") { spend { enabled } }"#),
    line("Customer", "notifications", &[CustomerRead], Own, r#"customer(id: "CUSTOMER") { notifications { addresses } }"#),
    line("Customer", "events", &[CustomerRead, SubscriptionRead], Own, r#"customer(id: "CUSTOMER") { events { nodes { id } } }"#),
    line("Customer", "invoiceAddress", &[CustomerRead], Own, r#"customer(id: "CUSTOMER") { invoiceAddress { city } }"#),
    line("Customer", "ledger", &[CustomerRead, CreditRead], Own, r#"customer(id: "CUSTOMER") { ledger { nodes { id description } } }"#),
    line("Customer", "autoRecharge", &[CustomerRead, PaymentRead], Own, r#"customer(id: "CUSTOMER") { autoRecharge { state evaluations { reason } forecast { creditsPerDay } } }"#),
    line("Customer", "autoRechargeDryRun", &[CustomerRead, PaymentRead], Own, r#"customer(id: "CUSTOMER") { autoRechargeDryRun(rule: {threshold: "1", amount: {target: "2"}, monthlyCap: {amount: "9", currency: "USD"}}) { lowestBalance } }"#),
    line("Customer", "trust", &[CustomerRead, PaymentRead], Own, r#"customer(id: "CUSTOMER") { trust { tier { key } } }"#),
    line("Customer", "invoices", &[CustomerRead, InvoiceRead], Own, r#"customer(id: "CUSTOMER") { invoices(first: 1) { nodes { number creditNotes { number } } } }"#),
    line("Customer", "paymentsDue", &[CustomerRead, InvoiceRead], Own, r#"customer(id: "CUSTOMER") { paymentsDue(first: 1) { nodes { number } } }"#),
    line("Customer", "moneyBalances", &[CustomerRead, InvoiceRead], Own, r#"customer(id: "CUSTOMER") { moneyBalances { amount } }"#),
    line("Customer", "taxRegistrations", &[CustomerRead, InvoiceRead], Own, r#"customer(id: "CUSTOMER") { taxRegistrations { value } }"#),
    line("Customer", "paymentMethods", &[CustomerRead, PaymentRead], Own, r#"customer(id: "CUSTOMER") { paymentMethods { id } }"#),
    line("Customer", "payments", &[CustomerRead, PaymentRead], Own, r#"customer(id: "CUSTOMER") { payments { nodes { id returns { id } } } }"#),
    line("Customer", "reservations", &[CustomerRead, UsageRead], Own, r#"customer(id: "CUSTOMER") { reservations { nodes { id idempotencyKey } } }"#),
    line("Customer", "subscriptions", &[CustomerRead, SubscriptionRead], Own, r#"customer(id: "CUSTOMER") { subscriptions { nodes { id externalId } } }"#),
    line("Customer", "usageEvents", &[CustomerRead, UsageRead], Own, r#"customer(id: "CUSTOMER") { usageEvents { nodes { id } } }"#),
    line("Customer", "usageSummary", &[CustomerRead, UsageRead], Own, r#"customer(id: "CUSTOMER") { usageSummary { metrics { units } } }"#),
    line("Jobs", "lanes", &[OperationsRead], Never, "jobs { lanes { backlog } }"),
    line("Jobs", "parked", &[OperationsRead], Never, "jobs { parked { nodes { id error } } }"),
    line("PlanSubscription", "contract", &[SubscriptionRead], Own, r#"subscription(id: "AGREED") { contract { end } }"#),
    line("PlanSubscription", "currentCycle", &[SubscriptionRead], Own, r#"subscription(id: "AGREED") { currentCycle { number } }"#),
    line("PlanSubscription", "cycles", &[SubscriptionRead], Own, r#"subscription(id: "AGREED") { cycles { nodes { number } } }"#),
    line("PlanSubscription", "events", &[SubscriptionRead], Own, r#"subscription(id: "AGREED") { events { nodes { id } } }"#),
    line("PlanSubscription", "nextVariant", &[SubscriptionRead, CatalogRead], Own, r#"subscription(id: "AGREED") { nextVariant { id } }"#),
    line("PlanSubscription", "variant", &[SubscriptionRead, CatalogRead], Own, r#"subscription(id: "AGREED") { variant { id } }"#),

    line("Mutation", "adjustCredits", &[CreditWrite], Never, r#"adjustCredits(input: {customerId: "CUSTOMER", credits: "1", idempotencyKey: "FRESH"}) { adjustment { balance { remaining } } userErrors { code } }"#),
    line("Mutation", "advanceTestClock", &[OperationsWrite], Never, r#"advanceTestClock(input: {testClockId: "CLOCK", to: "2026-05-01", idempotencyKey: "FRESH"}) { testClock { id } userErrors { code } }"#),
    line("Mutation", "archiveGrantTemplate", &[CatalogWrite], Never, r#"archiveGrantTemplate(input: {templateId: "TEMPLATE"}) { grantTemplate { id } userErrors { code } }"#),
    line("Mutation", "archivePlan", &[CatalogWrite], Never, r#"archivePlan(input: {planId: "STALE"}) { plan { id name } userErrors { code } }"#),
    line("Mutation", "archivePlanVariant", &[CatalogWrite], Never, r#"archivePlanVariant(input: {variantId: "VARIANT"}) { planVariant { id name } userErrors { code } }"#),
    // What a subscription may live through, one after the other.
    line("Mutation", "createSubscription", &[SubscriptionWrite], Never, r#"createSubscription(input: {customerId: "CUSTOMER", variantId: "SOLD", idempotencyKey: "FRESH"}) { subscription { id } userErrors { code } }"#),
    line("Mutation", "extendContract", &[SubscriptionWrite], Never, r#"extendContract(input: {subscriptionId: "LIVED", contractEnd: "2031-01-01", idempotencyKey: "FRESH"}) { subscription { id } userErrors { code } }"#),
    line("Mutation", "changeSubscriptionPlan", &[SubscriptionWrite], Never, r#"changeSubscriptionPlan(input: {subscriptionId: "LIVED", variantId: "OTHER", idempotencyKey: "FRESH"}) { subscription { id } userErrors { code } }"#),
    line("Mutation", "renewSubscription", &[SubscriptionWrite], Never, r#"renewSubscription(input: {subscriptionId: "LIVED", idempotencyKey: "FRESH"}) { subscription { id } userErrors { code } }"#),
    line("Mutation", "pauseSubscription", &[SubscriptionWrite], Never, r#"pauseSubscription(input: {subscriptionId: "LIVED", idempotencyKey: "FRESH"}) { subscription { id } userErrors { code } }"#),
    line("Mutation", "resumeSubscription", &[SubscriptionWrite], Never, r#"resumeSubscription(input: {subscriptionId: "LIVED", idempotencyKey: "FRESH"}) { subscription { id } userErrors { code } }"#),
    line("Mutation", "cancelSubscription", &[SubscriptionWrite], Never, r#"cancelSubscription(input: {subscriptionId: "LIVED", takesEffect: NOW, idempotencyKey: "FRESH"}) { subscription { id } userErrors { code } }"#),
    line("Mutation", "createApiKey", &[AccessWrite], Never, r#"createApiKey(input: {name: "FRESH", scopes: ["access:write"], idempotencyKey: "FRESH"}) { apiKey { id } secret userErrors { code } }"#),
    line("Mutation", "createCustomer", &[CustomerWrite], Never, r#"createCustomer(input: {externalId: "FRESH", idempotencyKey: "FRESH"}) { customer { id } userErrors { code } }"#),
    line("Mutation", "createCustomerToken", &[TokenCreate], Never, r#"createCustomerToken(input: {customerId: "CUSTOMER", scopes: ["credit:read"], idempotencyKey: "FRESH"}) { customerToken { id } secret userErrors { code } }"#),
    line("Mutation", "createGrantTemplate", &[CatalogWrite], Never, r#"createGrantTemplate(input: {variantId: "VARIANT", credits: "1", idempotencyKey: "FRESH"}) { grantTemplate { id } userErrors { code } }"#),
    line("Mutation", "createMeteringRule", &[CatalogWrite], Never, r#"createMeteringRule(input: {metricKey: "METRIC", price: {flat: {credits: "1"}}, idempotencyKey: "FRESH"}) { meteringRule { id } userErrors { code } }"#),
    line("Mutation", "createMetric", &[CatalogWrite], Never, r#"createMetric(input: {key: "FRESH", name: "new", idempotencyKey: "FRESH"}) { metric { id } userErrors { code } }"#),
    line("Mutation", "createPlan", &[CatalogWrite], Never, r#"createPlan(input: {key: "FRESH", name: "new", idempotencyKey: "FRESH"}) { plan { id } userErrors { code } }"#),
    line("Mutation", "createPlanVariant", &[CatalogWrite], Never, r#"createPlanVariant(input: {planId: "PLAN", name: "new", interval: {unit: MONTH}, mode: PREPAID, idempotencyKey: "FRESH"}) { planVariant { id } userErrors { code } }"#),
    line("Mutation", "createTestClock", &[OperationsWrite], Never, r#"createTestClock(input: {name: "FRESH", idempotencyKey: "FRESH"}) { testClock { id } userErrors { code } }"#),
    line("Mutation", "grantCredits", &[CreditWrite], Never, r#"grantCredits(input: {customerId: "CUSTOMER", credits: "1", source: PURCHASE, idempotencyKey: "FRESH"}) { block { id } userErrors { code } }"#),
    line("Mutation", "updatePaymentSettings", &[PaymentWrite], Never, r#"updatePaymentSettings(input: {provider: "sandbox", creditPrice: {perCredit: "1", currency: "USD"}, trustTiers: [{key: "trusted"}]}) { paymentSettings { provider } userErrors { code } }"#),
    line("Mutation", "setTrustTier", &[PaymentWrite], Never, r#"setTrustTier(input: {customerId: "CUSTOMER", tier: "trusted"}) { trust { isChosen } userErrors { code } }"#),
    line("Mutation", "startPaymentMethodSetup", &[PaymentWrite], Never, r#"startPaymentMethodSetup(input: {customerId: "CUSTOMER", idempotencyKey: "FRESH"}) { setup { id } userErrors { code } }"#),
    line("Mutation", "completeSandboxSetup", &[PaymentWrite], Never, r#"completeSandboxSetup(input: {paymentSetupId: "SETUP", card: SUCCESS}) { setup { id } userErrors { code } }"#),
    line("Mutation", "setDefaultPaymentMethod", &[PaymentWrite], Never, r#"setDefaultPaymentMethod(input: {paymentMethodId: "METHOD"}) { paymentMethod { id } userErrors { code } }"#),
    line("Mutation", "purchaseCredits", &[PaymentWrite], Never, r#"purchaseCredits(input: {customerId: "CUSTOMER", amount: {amount: "10", currency: "USD"}, idempotencyKey: "FRESH"}) { payment { id } userErrors { code } }"#),
    line("Mutation", "updateAutoRecharge", &[PaymentWrite], Never, r#"updateAutoRecharge(input: {customerId: "CUSTOMER", rule: {threshold: "0", amount: {target: "2"}, monthlyCap: {amount: "9", currency: "USD"}}}) { autoRecharge { state } userErrors { code } }"#),
    line("Mutation", "stopAllAutoRecharge", &[PaymentWrite], Never, "stopAllAutoRecharge(input: {stopped: false}) { paymentSettings { autoRechargeStoppedAt } userErrors { code } }"),
    line("Mutation", "updateInvoiceSettings", &[InvoiceWrite], Never, r#"updateInvoiceSettings(input: {seller: {name: "acme", country: "DE"}, collectAutomatically: false}) { invoiceSettings { numberPrefix } userErrors { code } }"#),
    line("Mutation", "finalizeInvoice", &[InvoiceWrite], Never, r#"finalizeInvoice(input: {invoiceId: "DRAFT"}) { invoice { number } userErrors { code } }"#),
    line("Mutation", "payInvoice", &[InvoiceWrite], Never, r#"payInvoice(input: {invoiceId: "INVOICE", paidElsewhere: true, idempotencyKey: "FRESH"}) { invoice { number } userErrors { code } }"#),
    line("Mutation", "payInvoice", &[InvoiceWrite, PaymentWrite], Never, r#"payInvoice(input: {invoiceId: "UNPAID", idempotencyKey: "FRESH"}) { invoice { number } userErrors { code } }"#),
    line("Mutation", "voidInvoice", &[InvoiceWrite], Never, r#"voidInvoice(input: {invoiceId: "WRONG"}) { invoice { number } userErrors { code } }"#),
    line("Mutation", "markInvoiceUncollectible", &[InvoiceWrite], Never, r#"markInvoiceUncollectible(input: {invoiceId: "LOST"}) { invoice { number } userErrors { code } }"#),
    line("Mutation", "createCreditNote", &[InvoiceWrite], Never, r#"createCreditNote(input: {invoiceId: "RECEIPT", reason: GOODWILL, idempotencyKey: "FRESH"}) { creditNote { number } userErrors { code } }"#),
    line("Mutation", "addTaxRegistration", &[InvoiceWrite], Never, r#"addTaxRegistration(input: {customerId: "CUSTOMER", kind: US_EIN, country: "US", value: "12-3456789", idempotencyKey: "FRESH"}) { taxRegistration { value } userErrors { code } }"#),
    line("Mutation", "verifyTaxRegistration", &[InvoiceWrite], Never, r#"verifyTaxRegistration(input: {taxRegistrationId: "TAXNUMBER", known: true}) { taxRegistration { value } userErrors { code } }"#),
    line("Mutation", "removeTaxRegistration", &[InvoiceWrite], Never, r#"removeTaxRegistration(input: {taxRegistrationId: "TAXNUMBER"}) { taxRegistration { value } userErrors { code } }"#),
    line("Mutation", "confirmSandboxPayment", &[PaymentWrite], Never, r#"confirmSandboxPayment(input: {paymentId: "PAYMENT"}) { payment { id } userErrors { code } }"#),
    line("Mutation", "startCheckout", &[PaymentWrite], Never, r#"startCheckout(input: {customerId: "CUSTOMER", amount: {amount: "10", currency: "USD"}, idempotencyKey: "FRESH"}) { payment { id } userErrors { code } }"#),
    line("Mutation", "completeSandboxCheckout", &[PaymentWrite], Never, r#"completeSandboxCheckout(input: {paymentId: "CHECKOUT", card: SUCCESS}) { payment { id } userErrors { code } }"#),
    line("Mutation", "refundPayment", &[PaymentWrite], Never, r#"refundPayment(input: {paymentId: "REPAID", amount: {amount: "1", currency: "USD"}, idempotencyKey: "FRESH"}) { paymentReturn { id } userErrors { code } }"#),
    line("Mutation", "disputeSandboxPayment", &[PaymentWrite], Never, r#"disputeSandboxPayment(input: {paymentId: "PAID", bank: ASKS}) { payment { id } userErrors { code } }"#),
    line("Mutation", "removePaymentMethod", &[PaymentWrite], Never, r#"removePaymentMethod(input: {paymentMethodId: "METHOD"}) { paymentMethod { id } userErrors { code } }"#),
    line("Mutation", "recordUsage", &[UsageWrite], Never, r#"recordUsage(input: {events: [{customerId: "CUSTOMER", metricKey: "METRIC", units: "1", idempotencyKey: "FRESH"}]}) { results { outcome reason } userErrors { code } }"#),
    line("Mutation", "reserveUsage", &[UsageWrite], Never, r#"reserveUsage(input: {reservations: [{customerId: "CUSTOMER", metricKey: "METRIC", units: "1", idempotencyKey: "FRESH"}]}) { results { outcome reason } userErrors { code } }"#),
    line("Mutation", "captureReservation", &[UsageWrite], Never, r#"captureReservation(input: {captures: [{reservationId: "HELD", units: "1"}]}) { results { outcome reason } userErrors { code } }"#),
    line("Mutation", "releaseReservation", &[UsageWrite], Never, r#"releaseReservation(input: {reservationIds: ["KEPT"]}) { results { outcome reason } userErrors { code } }"#),
    line("Mutation", "retryWork", &[OperationsWrite], Never, r#"retryWork(input: {workId: "WORK", idempotencyKey: "FRESH"}) { work { id } userErrors { code } }"#),
    line("Mutation", "revokeApiKey", &[AccessWrite], Never, r#"revokeApiKey(input: {id: "KEY", idempotencyKey: "FRESH"}) { apiKey { id name } userErrors { code } }"#),
    line("Mutation", "revokeBlock", &[CreditWrite], Never, r#"revokeBlock(input: {blockId: "BLOCK", idempotencyKey: "FRESH"}) { block { id } userErrors { code } }"#),
    line("Mutation", "rotateApiKey", &[AccessWrite], Never, r#"rotateApiKey(input: {id: "TURNED", idempotencyKey: "FRESH"}) { apiKey { id name } secret userErrors { code } }"#),
    line("Mutation", "runAudit", &[OperationsWrite], Never, r#"runAudit(input: {mode: FULL, customerId: "CUSTOMER"}) { run { customers } userErrors { code } }"#),
    line("Mutation", "updateCustomer", &[CustomerWrite], Never, r#"updateCustomer(input: {customerId: "CUSTOMER", poNumber: "7"}) { customer { id name } userErrors { code } }"#),
    line("Mutation", "updateMetric", &[CatalogWrite], Never, r#"updateMetric(input: {key: "METRIC", unit: "piece"}) { metric { id name } userErrors { code } }"#),
    line("Mutation", "updatePlan", &[CatalogWrite], Never, r#"updatePlan(input: {planKey: "OFFER", description: "new"}) { plan { id name } userErrors { code } }"#),
    line("Mutation", "createWebhookEndpoint", &[WebhookWrite], Never, r#"createWebhookEndpoint(input: {url: "http://127.0.0.1:9/", types: ["webhook_endpoint.disabled"], customerId: "CUSTOMER", idempotencyKey: "FRESH"}) { created { secret } userErrors { code } }"#),
    line("Mutation", "deleteWebhookEndpoint", &[WebhookWrite], Never, r#"deleteWebhookEndpoint(input: {endpointId: "UNHOOKED"}) { endpoint { id description } userErrors { code } }"#),
    line("Mutation", "resendWebhook", &[WebhookWrite], Never, r#"resendWebhook(input: {deliveryId: "SENT", idempotencyKey: "FRESH"}) { delivery { id } userErrors { code } }"#),
    line("Mutation", "resendWebhooks", &[WebhookWrite], Never, r#"resendWebhooks(input: {endpointId: "HOOK", idempotencyKey: "FRESH"}) { resent { count } userErrors { code } }"#),
    line("Mutation", "rotateWebhookSecret", &[WebhookWrite], Never, r#"rotateWebhookSecret(input: {endpointId: "HOOK", idempotencyKey: "FRESH"}) { created { secret endpoint { description } } userErrors { code } }"#),
    line("Mutation", "sendTestWebhook", &[WebhookWrite], Never, r#"sendTestWebhook(input: {endpointId: "HOOK", idempotencyKey: "FRESH"}) { delivery { id } userErrors { code } }"#),
    line("Mutation", "updateWebhookEndpoint", &[WebhookWrite], Never, r#"updateWebhookEndpoint(input: {endpointId: "HOOK", maxConcurrency: 2}) { endpoint { id description } userErrors { code } }"#),
    line("Mutation", "sendTestSpendWebhook", &[WebhookWrite], Never, r#"sendTestSpendWebhook(input: {customerId: "CUSTOMER", idempotencyKey: "FRESH"}) { delivery { id } userErrors { code } }"#),
    line("Mutation", "updateSpendSettings", &[CustomerWrite], Never, r#"updateSpendSettings(input: {customerId: "CUSTOMER"}) { spend { settings { enabled } } userErrors { code } }"#),
    line("Mutation", "updateCustomerNotifications", &[CustomerWrite], Never, r#"updateCustomerNotifications(input: {customerId: "CUSTOMER", mutedTypes: []}) { notifications { addresses } userErrors { code } }"#),
    line("Mutation", "updateOvershootDefault", &[CustomerWrite], Never, r#"updateOvershootDefault(input: {}) { terms { overshootLimit } userErrors { code } }"#),
    line("Mutation", "updateMailSettings", &[OperationsWrite], Never, r#"updateMailSettings(input: {mutedTypes: []}) { settings { enabled } userErrors { code } }"#),
    line("Mutation", "voidUsage", &[UsageWrite], Never, r#"voidUsage(input: {key: "PRODUCED", idempotencyKey: "FRESH"}) { voided { key } userErrors { code } }"#),

    line("Subscription", "eventStream", &[EventRead], Never, "eventStream(after: 0) { id type }"),
    line("Subscription", "balanceUpdated", &[CreditRead], Own, r#"balanceUpdated(customerId: "CUSTOMER") { sequence remaining }"#),
];

impl Line {
    /// Its name in complaints.
    pub fn name(&self) -> String {
        format!("{}.{}", self.of, self.field)
    }

    /// What a credential has that may do this and no more: what is needed, and what the request hands on.
    pub fn enough(&self) -> Vec<Scope> {
        let handed_on: &[Scope] = match self.field {
            "createCustomerToken" => &[CreditRead],
            // Any scope will do.
            "viewer" | "eventTypes" => &[UsageWrite],
            _ => &[],
        };
        [self.needs, handed_on].concat()
    }

    /// Whether it asks about something that a target owns.
    pub fn names_something(&self) -> bool {
        let word = |text: &str| text.len() > 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        // Neither what is new every time nor a currency belongs to anybody.
        let of_nobody = ["FRESH", "USD"];
        self.request
            .split('"')
            .any(|text| word(text) && !of_nobody.contains(&text))
    }

    /// The root field that is asked.
    pub fn root_field(&self) -> &'static str {
        self.request.split(['(', ' ']).next().unwrap_or_default()
    }

    /// The whole document.
    pub fn document(&self) -> String {
        let operation = match self.of {
            "Mutation" => "mutation",
            "Subscription" => "subscription",
            _ => "query",
        };
        format!("{operation} {{ {} }}", self.request)
    }
}

/// What somebody who adds a field is told.
pub fn advice(of: &str, field: &str) -> String {
    let root = of.to_lowercase();
    let request = match of {
        "Query" | "Mutation" | "Subscription" => format!(r#"{field}(customerId: "CUSTOMER") {{ id }}"#),
        _ => format!(r#"{root}(id: "CUSTOMER") {{ {field} {{ id }} }}"#),
    };
    format!(
        "`{of}.{field}` has no line. Say who may ask it, in TABLE of tests/suite/authorisation/table.rs:\n    \
         line(\"{of}\", \"{field}\", &[CreditRead], Own, r#\"{request}\"#),\n\
         with the scopes it needs, Own/Shared/Never for customer tokens, and a request that succeeds for the owner; the words in \
         capitals are explained in `cast.rs`. Then run `TALLYGATE_BLESS=1 cargo test --test suite authorisation::`."
    )
}

/// The table for people.
pub fn document() -> String {
    let mut text = String::from(
        "# Who may do what\n\n\
         Written by the test `authorisation`, which tries every line with every kind of credential on SQLite and PostgreSQL: none,\n\
         garbage, expired, revoked, of another tenant, without the scope, with exactly the scopes, tokens of the customer and of\n\
         another one. Do not edit; run `TALLYGATE_BLESS=1 cargo test --test suite authorisation::`.\n\n\
         Without a credential that is good nothing is answered (401). Without a scope the answer is `FORBIDDEN`. What belongs to another\n\
         tenant does not exist, and to a customer token neither does another customer.\n\n\
         | field | needs | customer token |\n|---|---|---|\n",
    );
    for line in TABLE {
        let twins = TABLE.iter().filter(|other| other.name() == line.name()).count();
        let asked = match line.request.split_once(" {") {
            Some((asked, _)) if twins > 1 => format!(" as `{asked}`"),
            _ => String::new(),
        };
        let needs: Vec<_> = line.needs.iter().map(|scope| format!("`{scope}`")).collect();
        let needs = if needs.is_empty() {
            "any".to_owned()
        } else {
            needs.join(", ")
        };
        let token = match line.token {
            Own => "own account",
            Shared => "same for all",
            Never => "no",
        };
        let _ = writeln!(text, "| `{}`{asked} | {needs} | {token} |", line.name());
    }
    let delegable: Vec<_> = Scope::DELEGABLE
        .iter()
        .map(|scope| format!("`{scope}`"))
        .collect();
    let _ = write!(
        text,
        "\nA customer token can be given {}, as far as its key has them.\n",
        delegable.join(", ")
    );
    text
}
