//! A queue in memory that can be told to lose, double and reorder.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use app::job::{Queue, Wakeup};
use sea_orm::{DatabaseTransaction, DbErr};
use serde_json::Value;

/// Wake-ups on their way.
#[derive(Debug, Default)]
pub struct Post {
    waiting: Mutex<Vec<Value>>,
    pub loses: AtomicBool,
    pub doubles: AtomicBool,
    pub reorders: AtomicBool,
}

impl Post {
    /// The next wake-up: the oldest, or the youngest when reordering.
    pub fn take(&self) -> Option<Value> {
        let mut waiting = self.waiting.lock().unwrap();
        if waiting.is_empty() {
            None
        } else if self.reorders.load(Ordering::SeqCst) {
            waiting.pop()
        } else {
            Some(waiting.remove(0))
        }
    }

    pub fn put(&self, payload: Value) {
        self.waiting.lock().unwrap().push(payload);
    }

    pub fn len(&self) -> usize {
        self.waiting.lock().unwrap().len()
    }

    pub fn clear(&self) {
        self.waiting.lock().unwrap().clear();
    }
}

#[async_trait::async_trait]
impl Queue for Post {
    async fn push(&self, _: &DatabaseTransaction, wakeups: &[Wakeup]) -> Result<(), DbErr> {
        let copies = match (
            self.loses.load(Ordering::SeqCst),
            self.doubles.load(Ordering::SeqCst),
        ) {
            (true, _) => 0,
            (false, doubles) => 1 + usize::from(doubles),
        };
        for wakeup in wakeups {
            for _ in 0..copies {
                self.put(serde_json::to_value(&wakeup.envelope).unwrap());
            }
        }
        Ok(())
    }
}
