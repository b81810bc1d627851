//! What a vendor offers. Written once and archived, never changed and never deleted: subscriptions go on naming it.

crate::dialect::step!("m0009_plans");

const UP: &[&str] = &[
    "CREATE TABLE plan (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL REFERENCES tenant (id),
        key {text} NOT NULL,
        name {text} NOT NULL,
        description {text},
        created_at {big} NOT NULL,
        archived_at {big},
        UNIQUE (tenant_id, key)
    ) {table}",
    "CREATE INDEX plan_by_tenant ON plan (tenant_id, id)",
    // `terms` is everything that was agreed, as JSON; `late` is in it, and beside it because accepting usage asks for it.
    "CREATE TABLE plan_variant (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        plan_id {id} NOT NULL REFERENCES plan (id),
        name {text} NOT NULL,
        terms {text} NOT NULL,
        late {text} NOT NULL,
        created_at {big} NOT NULL,
        archived_at {big}
    ) {table}",
    "CREATE INDEX plan_variant_by_plan ON plan_variant (plan_id, id)",
    "CREATE INDEX plan_variant_rejecting ON plan_variant (tenant_id) WHERE late = 'REJECT'",
    "CREATE TABLE grant_template (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        variant_id {id} NOT NULL REFERENCES plan_variant (id),
        terms {text} NOT NULL,
        created_at {big} NOT NULL,
        archived_at {big}
    ) {table}",
    "CREATE INDEX grant_template_by_variant ON grant_template (variant_id, id)",
];

const DOWN: &[&str] = &[
    "DROP TABLE grant_template",
    "DROP TABLE plan_variant",
    "DROP TABLE plan",
];
