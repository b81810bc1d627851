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
//! | `/graphiql` | an editor, in development mode |
//! | `/healthz` | the process answers |

mod auth;
mod graphql;
mod guard;
mod http;
mod live;
mod origin;
mod server;
mod sse;
mod websocket;

pub use self::{
    graphql::schema_text,
    live::LiveLimits,
    server::{Options, serve},
};
