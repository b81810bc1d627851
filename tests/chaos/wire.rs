//! The suite's way to the real command, used here as well.

#![allow(dead_code, unused_imports, reason = "the suite uses all of it")]

#[path = "../suite/e2e/client.rs"]
pub mod client;
#[path = "../suite/e2e/listener.rs"]
pub mod listener;
#[path = "../suite/e2e/process.rs"]
pub mod process;
#[path = "../suite/e2e/ready.rs"]
pub mod ready;
#[path = "../suite/e2e/stage.rs"]
pub mod stage;
