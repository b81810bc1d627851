//! Two parties that take turns, so that what else the machine does meets both.

use crate::{Outcome, stats::median};

/// Lets ours and the limit run in turns and answers the medians of what each answered.
///
/// # Errors
/// Either failed.
pub async fn pair<const OURS: usize, const LIMITS: usize>(
    rounds: usize,
    mut ours: impl AsyncFnMut() -> Outcome<[f64; OURS]>,
    mut limit: impl AsyncFnMut() -> Outcome<[f64; LIMITS]>,
) -> Outcome<([f64; OURS], [f64; LIMITS])> {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        first.push(ours().await?);
        second.push(limit().await?);
    }
    Ok((medians(&first), medians(&second)))
}

/// The median of each place.
fn medians<const N: usize>(rounds: &[[f64; N]]) -> [f64; N] {
    std::array::from_fn(|place| {
        let column: Vec<f64> = rounds.iter().map(|round| round[place]).collect();
        median(&column)
    })
}

#[cfg(test)]
mod tests {
    use super::medians;

    #[test]
    fn each_place_has_its_own_median() {
        assert_eq!(medians(&[[1.0, 30.0], [3.0, 10.0], [2.0, 20.0]]), [2.0, 20.0]);
    }
}
