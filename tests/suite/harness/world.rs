//! One vendor's world: an application over an empty database, a clock that stands still until it is moved, and a queue that
//! runs only when told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use app::{
    Actor, App, Limits,
    access::{self, Mode},
    audit,
    catalog::{self, CreateMetric, CreateRule, Rule},
    clock::ManualClock,
    credit::{self, Balance, BlockView, Expiry, Grant, LedgerLine},
    customer::{self, CreateCustomer, CustomerRef},
    job,
    page::Page,
    usage::{self, Age, NewEvent, Outcome, VoidUsage, Voided},
};
use domain::{
    amount::Credits,
    credit::block::Source,
    customer::{BeyondOvershoot, Settlement},
    id::{CustomerId, TenantId},
    ledger::chain::EntryHash,
    metering::{Price, rule::Properties},
    time::Timestamp,
};
use entity::{account, ledger_entry, usage_pending, work};
use migration::MigratorTrait;
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::{at, backend::Place, credits, post::Post, sabotage};

/// When every world begins: in the middle of a month.
pub const BEGINNING: &str = "2026-03-10T12:00:00Z";
/// Rounds in which jobs must come to rest.
const MAX_ROUNDS: usize = 500;

/// How a process is set up unless a case says otherwise: years pass in these worlds, and what was told is looked at in the end.
pub fn usual() -> Limits {
    Limits {
        event_retention_days: 36_500,
        ..Limits::default()
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct World {
    pub app: App,
    pub actor: Actor,
    pub clock: Arc<ManualClock>,
    pub post: Arc<Post>,
    pub place: Arc<Place>,
    keys: Arc<AtomicU64>,
    tasks: Arc<AtomicUsize>,
}

impl World {
    pub async fn over(place: Arc<Place>) -> Self {
        let db = place.connect().await;
        migration::Migrator::up(db.writer(), None).await.unwrap();
        let clock = Arc::new(ManualClock::at(at(BEGINNING)));
        let post = Arc::new(Post::default());
        let app = App::with_clock(db, post.clone(), usual(), clock.clone());
        let (tenant, _) = access::ensure_tenant(&app, "acme", Some(Mode::Test))
            .await
            .unwrap();
        let world = Self {
            app,
            actor: Actor::operator(tenant.id),
            clock,
            post,
            place,
            keys: Arc::default(),
            tasks: Arc::default(),
        };
        world.count_tasks().await;
        world
    }

    /// Another process over the same database, queue and clock.
    pub async fn another(&self) -> Self {
        self.with_limits(usual()).await
    }

    /// Takes the tables back to before a step and forward again, each time by another process; one more sees what has become of them.
    pub async fn back_and_forth(&self, step: &str) -> Self {
        let steps = migration::Migrator::migrations();
        let place = steps.iter().position(|it| it.name() == step).unwrap();
        let back = u32::try_from(steps.len() - place).unwrap();
        migration::Migrator::down(self.app.db().writer(), Some(back))
            .await
            .unwrap();
        let fresh = self.another().await;
        migration::Migrator::up(fresh.app.db().writer(), None)
            .await
            .unwrap();
        self.another().await
    }

    /// The audit finds nothing wrong, in full as well as in what has changed.
    pub async fn audited(&self) {
        for run in [
            audit::full(&self.app, audit::Reached::All, |_, _| ())
                .await
                .unwrap(),
            audit::incremental(&self.app, audit::Reached::All).await.unwrap(),
        ] {
            assert_eq!(run.violations, 0, "{:?}", run.first);
        }
    }

    /// Another process that is set up differently.
    pub async fn with_limits(&self, limits: Limits) -> Self {
        let db = self.place.connect().await;
        let app = App::with_clock(db, self.post.clone(), limits, self.clock.clone());
        let other = Self { app, ..self.clone() };
        other.count_tasks().await;
        other
    }

    /// Another process on another machine, whose clock goes its own way from now on.
    #[allow(dead_code, reason = "for chaos")]
    pub async fn elsewhere(&self) -> Self {
        let clock = Arc::new(ManualClock::at(self.now()));
        let db = self.place.connect().await;
        let app = App::with_clock(db, self.post.clone(), usual(), clock.clone());
        let other = Self {
            app,
            clock,
            ..self.clone()
        };
        other.count_tasks().await;
        other
    }

    /// Another vendor in the same database.
    pub async fn stranger(&self) -> Self {
        let (tenant, _) = access::ensure_tenant(&self.app, "stranger", None).await.unwrap();
        Self {
            actor: Actor::operator(tenant.id),
            ..self.clone()
        }
    }

    /// A key of the tenant with every scope, as it is sent.
    pub async fn bearer(&self) -> String {
        let key = format!("bearer-of-{}", uuid::Uuid::now_v7().simple());
        let name = access::viewer(&self.app, &self.actor).await.unwrap().tenant.name;
        let tenant = access::tenant(&self.app, &name).await.unwrap();
        access::ensure_bootstrap_key(&self.app, &tenant, &key)
            .await
            .unwrap();
        key
    }

    pub fn tenant(&self) -> TenantId {
        self.actor.tenant
    }

    /// An idempotency key that was not used before.
    pub fn key(&self) -> String {
        format!("key-{}", self.keys.fetch_add(1, Ordering::SeqCst))
    }

    pub fn now(&self) -> Timestamp {
        self.app.now()
    }

    pub fn advance(&self, seconds: i64) {
        self.advance_micros(seconds * 1_000_000);
    }

    pub fn advance_micros(&self, micros: i64) {
        self.clock.advance_micros(micros);
    }

    /// Moves the clock to an instant.
    pub fn move_to(&self, instant: Timestamp) {
        self.advance_micros(instant.micros() - self.now().micros());
    }

    // What is sold.

    pub async fn metric(&self, key: &str) {
        let input = CreateMetric {
            key: key.to_owned(),
            name: key.to_owned(),
            unit: None,
        };
        catalog::create_metric(&self.app, &self.actor, input, &self.key())
            .await
            .unwrap();
    }

    pub async fn rule(&self, metric: &str, price: Price) -> Rule {
        let rule = self.try_rule(metric, &[], price, None).await;
        rule.unwrap()
    }

    pub async fn try_rule(
        &self,
        metric: &str,
        matches: &[(&str, &str)],
        price: Price,
        from: Option<Timestamp>,
    ) -> app::Result<Rule> {
        let text = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let input = CreateRule {
            metric_key: metric.to_owned(),
            matches: matches.iter().map(text).collect::<Properties>(),
            price,
            effective_from: from,
        };
        let made = catalog::create_rule(&self.app, &self.actor, input, &self.key()).await?;
        Ok(made.value)
    }

    /// A metric with a price.
    pub async fn priced(&self, key: &str, price: Price) {
        self.metric(key).await;
        self.rule(key, price).await;
    }

    // Who buys.

    pub async fn customer(&self, external_id: &str) -> CustomerId {
        self.customer_settling(external_id, Settlement::NextPurchase)
            .await
    }

    pub async fn customer_settling(&self, external_id: &str, settlement: Settlement) -> CustomerId {
        self.customer_bounded(external_id, settlement, None).await
    }

    /// One whose usage beyond so many credits below zero is written off.
    pub async fn customer_bounded(
        &self,
        external_id: &str,
        settlement: Settlement,
        bound: Option<Credits>,
    ) -> CustomerId {
        let input = CreateCustomer {
            external_id: external_id.to_owned(),
            settlement,
            overshoot_limit: bound.map(Some),
            beyond_overshoot: bound.map(|_| BeyondOvershoot::WriteOff),
            ..CreateCustomer::default()
        };
        let made = customer::create(&self.app, &self.actor, input, &self.key()).await;
        made.unwrap().value.id
    }

    // What they have.

    /// A grant without anything special; change what matters.
    pub fn deposit(&self, customer: CustomerId, amount: &str) -> Grant {
        Grant {
            customer: CustomerRef::Id(customer),
            credits: credits(amount),
            source: Source::Purchase,
            billing: None,
            priority: None,
            expiry: Expiry::Never,
            metric_keys: None,
            description: None,
        }
    }

    pub async fn grant(&self, grant: Grant) -> BlockView {
        let made = credit::grant(&self.app, &self.actor, grant, &self.key()).await;
        made.unwrap().value
    }

    pub async fn give(&self, customer: CustomerId, amount: &str) -> BlockView {
        self.grant(self.deposit(customer, amount)).await
    }

    pub async fn balance(&self, customer: CustomerId) -> Balance {
        let all = credit::balances(&self.app, &self.actor, &[customer])
            .await
            .unwrap();
        all[&customer].clone()
    }

    /// Balance and overdraft, as texts.
    pub async fn stands(&self, customer: CustomerId) -> (String, String) {
        let balance = self.balance(customer).await;
        (balance.remaining.to_string(), balance.overdraft.to_string())
    }

    /// What is left in a block, and its state.
    pub async fn left(&self, block: &BlockView) -> (String, String) {
        let view = credit::block(&self.app, &self.actor, block.block.id)
            .await
            .unwrap();
        let block = view.unwrap().block;
        (block.remaining.to_string(), entity::to_text(block.state))
    }

    /// The ledger, oldest first, up to a hundred lines.
    pub async fn ledger(&self, customer: CustomerId) -> Vec<LedgerLine> {
        let page = credit::ledger(&self.app, &self.actor, customer, Page::first(100)).await;
        let mut lines = page.unwrap().items;
        lines.reverse();
        lines
    }

    // What they use.

    /// An event without anything special; change what matters.
    pub fn event(&self, customer: CustomerId, metric: &str, units: &str) -> NewEvent {
        NewEvent {
            customer: Some(CustomerRef::Id(customer)),
            metric_key: metric.to_owned(),
            units: units.to_owned(),
            key: self.key(),
            occurred_at: None,
            properties: None,
        }
    }

    pub async fn record(&self, events: Vec<NewEvent>) -> Vec<Outcome> {
        usage::record(&self.app, &self.actor, events, Age::Limited)
            .await
            .unwrap()
    }

    /// Records events that must be accepted.
    pub async fn accept(&self, events: Vec<NewEvent>) {
        for outcome in self.record(events).await {
            assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
        }
    }

    /// Records one event and answers its key.
    pub async fn consume(&self, customer: CustomerId, metric: &str, units: &str) -> String {
        let event = self.event(customer, metric, units);
        let key = event.key.clone();
        self.accept(vec![event]).await;
        key
    }

    pub async fn void(&self, event_key: &str) -> app::Result<Voided> {
        let input = VoidUsage {
            event_key: event_key.to_owned(),
        };
        let done = usage::void(&self.app, &self.actor, input, &self.key()).await?;
        Ok(done.value)
    }

    // Who works.

    /// Waits until tasks that were started on the side have ended: wake-ups are sent by one of their own after the answer.
    pub async fn quiet(&self) {
        for _ in 0..200 {
            let alive = Handle::current().metrics().num_alive_tasks();
            if alive <= self.tasks.load(Ordering::SeqCst) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// How many tasks live on when nothing is done: one writer per application, and what the pools keep.
    pub async fn count_tasks(&self) {
        let mut least = usize::MAX;
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            least = least.min(Handle::current().metrics().num_alive_tasks());
        }
        self.tasks.store(least, Ordering::SeqCst);
    }

    /// Runs every wake-up that is on its way, and those that these send.
    pub async fn run_jobs(&self) {
        for _ in 0..MAX_ROUNDS {
            if self.post.len() == 0 {
                self.quiet().await;
            }
            let Some(payload) = self.post.take() else { return };
            job::run(&self.app, payload).await;
        }
        panic!("jobs do not come to rest");
    }

    /// Works until nothing is left to do, moving the clock over lost wake-ups and pauses where it must.
    pub async fn run_to_rest(&self) {
        for _ in 0..MAX_ROUNDS {
            self.run_jobs().await;
            job::sweep(&self.app).await.unwrap();
            if self.post.len() > 0 {
                continue;
            }
            let status = job::status(&self.app, &self.actor).await.unwrap();
            if status.lanes.iter().all(|lane| lane.backlog == 0) {
                return;
            }
            self.advance(61);
        }
        let rows = work::Entity::find().all(self.app.db().reader()).await.unwrap();
        panic!(
            "work does not come to rest, {} are pending: {rows:?}",
            self.pending().await
        );
    }

    /// The wake-up on which the shard of a customer is drained.
    pub fn drain_job(customer: CustomerId) -> Value {
        json!({ "kind": "usage.drain", "args": customer::shard_of(customer).to_string() })
    }

    /// The wake-up on which a customer's invoices are looked at.
    #[allow(dead_code, reason = "for the suite")]
    pub fn invoice_job(customer: CustomerId) -> Value {
        json!({ "kind": "invoice.advance", "args": customer.to_string() })
    }

    pub fn expire_job() -> Value {
        json!({ "kind": "credit.expire", "args": "all" })
    }

    pub async fn pending(&self) -> u64 {
        usage_pending::Entity::find()
            .count(self.app.db().reader())
            .await
            .unwrap()
    }

    /// Adds lines to a ledger that move nothing.
    pub async fn fill(&self, id: CustomerId, lines: i64) {
        let db = self.app.db().writer();
        let mut account = account::Entity::find_by_id(id.0).one(db).await.unwrap().unwrap();
        let last = ledger_entry::Entity::find().filter(ledger_entry::Column::CustomerId.eq(id.0));
        let last = last.one(db).await.unwrap().unwrap();
        let mut head = EntryHash::from_bytes(&account.head).unwrap();
        let mut rows = vec![];
        for line in 1..=lines {
            let mut entry = ledger_entry::Model {
                sequence: account.sequence + line,
                kind: "ADJUSTMENT".to_owned(),
                effect_key: format!("filler:{line}"),
                credits: 0,
                ..last.clone()
            };
            head = head.next(&entry.content());
            entry.hash = head.as_bytes().to_vec();
            rows.push(entry.into_active_model());
        }
        for some in rows.chunks(500) {
            let some = some.to_vec();
            ledger_entry::Entity::insert_many(some)
                .exec_without_returning(db)
                .await
                .unwrap();
        }
        account.sequence += lines;
        account.revision += 1;
        account.head = head.as_bytes().to_vec();
        account::Entity::update(account.into_active_model().reset_all())
            .exec(db)
            .await
            .unwrap();
    }

    /// An id as SQL has it.
    pub fn literal(&self, id: uuid::Uuid) -> String {
        match self.app.db().backend() {
            app::db::Backend::Sqlite => format!("x'{}'", id.simple()),
            app::db::Backend::Postgres => format!("'{id}'::uuid"),
        }
    }

    /// SQL for an id that nothing has.
    #[allow(dead_code, reason = "for the suite")]
    pub fn any_id(&self) -> &'static str {
        match self.app.db().backend() {
            app::db::Backend::Sqlite => "randomblob(16)",
            app::db::Backend::Postgres => "gen_random_uuid()",
        }
    }

    /// How the database would answer a statement, now that it has looked at its tables.
    #[allow(dead_code, reason = "for the suite")]
    pub async fn plan(&self, sql: &str) -> String {
        use sea_orm::{ConnectionTrait, Statement};
        let db = self.app.db().writer();
        db.execute_unprepared("ANALYZE").await.unwrap();
        let (explain, column) = match self.app.db().backend() {
            app::db::Backend::Sqlite => ("EXPLAIN QUERY PLAN", "detail"),
            app::db::Backend::Postgres => ("EXPLAIN", "QUERY PLAN"),
        };
        let asked = Statement::from_string(db.get_database_backend(), format!("{explain} {sql}"));
        let rows = db.query_all_raw(asked).await.unwrap();
        let lines: Vec<String> = rows.iter().map(|row| row.try_get("", column).unwrap()).collect();
        lines.join("\n")
    }

    /// Runs SQL behind the application's back, with every guard of the database switched off meanwhile.
    pub async fn sabotage(&self, sql: &str) {
        sabotage::run(self.app.db(), sql).await;
    }
}
