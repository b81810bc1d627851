//! GraphQL over HTTP, WebSocket and server-sent events.
//!
//! Knows the use-cases of `app` and the nouns of `domain`; no rows, no SQL. Resolvers translate: input to command, outcome to
//! payload. Nothing is parsed for a caller that has not been authenticated.
//!
//! | path | what |
//! |---|---|
//! | `POST /graphql` | any operation; `GET` serves queries only |
//! | `/graphql/ws` | subscriptions, `graphql-transport-ws` |
//! | `/graphql/stream` | subscriptions and queries as server-sent events, one connection each |
//! | `/documents/{link}` | invoices and credit notes, for whoever has the address |
//! | `/notices/{provider}` | where payment providers send their notices |
//! | `/graphiql` | an editor, in development mode |
//! | `/healthz` | the process answers |
//! | `/readyz` | it is ready for work: 200, else 503 |

mod auth;
mod cors;
mod document;
mod documents;
mod gate;
mod graphql;
mod guard;
mod http;
mod lane;
mod limit;
mod listener;
mod live;
mod notices;
mod observe;
mod origin;
mod patience;
mod server;
mod sse;
mod trace;
mod websocket;

pub use self::{
    graphql::schema_text,
    limit::{Limits, Network, RateLimits},
    live::LiveLimits,
    server::{Options, serve},
};
