//! The load generator. It is the same for ours and for the limit, and knows nothing of either.

pub mod closed;
pub mod http;
pub mod open;
pub mod request;
pub mod socket;

/// What one connection sends.
pub trait Requests: Send + 'static {
    /// The bytes of the next request.
    fn next(&mut self) -> &[u8];

    /// How much a good answer counts; an answer that is not good is an error with the reason.
    ///
    /// # Errors
    /// The answer is not what the measurement is about.
    fn count(&mut self, body: &[u8]) -> Result<u64, String>;
}
