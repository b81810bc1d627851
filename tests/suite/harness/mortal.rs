//! Workers that die in the middle.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// A future that is dropped after so many polls, as when its worker dies.
pub struct Mortal<F> {
    life: Pin<Box<F>>,
    polls: usize,
}

impl<F> Mortal<F> {
    pub fn new(life: F, polls: usize) -> Self {
        Self {
            life: Box::pin(life),
            polls,
        }
    }
}

impl<F: Future> Future for Mortal<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        self.life.as_mut().poll(context).map(Some)
    }
}
