//! What subscriptions have to say about a check, beside the credits.

use serde::{Deserialize, Serialize};

use super::state::State;

/// Whether a customer's subscriptions let usage pass. Usage that has happened is always recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Admission {
    /// They do: credits decide.
    #[default]
    Admitted,
    /// Renewal is overdue, and the variant does not allow usage meanwhile (source P4, `allow_usage_while_overdue`).
    Overdue,
    /// The subscription is paused.
    Paused,
}

/// One of a customer's subscriptions, as far as checks go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What it is in.
    pub state: State,
    /// What its variant says.
    pub allow_usage_while_overdue: bool,
}

/// One subscription that is in good standing suffices. Without any that still matters, credits decide: bought credits outlive a plan.
#[must_use]
pub fn admission(subscriptions: &[Standing]) -> Admission {
    let mut answer = Admission::Admitted;
    for subscription in subscriptions {
        match subscription.state {
            State::Trialing | State::Active => return Admission::Admitted,
            State::Overdue if subscription.allow_usage_while_overdue => return Admission::Admitted,
            State::Overdue => answer = Admission::Overdue,
            State::Paused if answer == Admission::Admitted => answer = Admission::Paused,
            State::Paused | State::Cancelled | State::Expired | State::ContractEnded => {}
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_good_standing_suffices_and_what_is_over_does_not_matter() {
        use Admission::{Admitted, Overdue, Paused};
        let of = |state, allow_usage_while_overdue| Standing {
            state,
            allow_usage_while_overdue,
        };
        let overdue = of(State::Overdue, false);
        let paused = of(State::Paused, true);
        for (subscriptions, answer) in [
            (vec![], Admitted),
            (vec![of(State::Active, false)], Admitted),
            (vec![of(State::Trialing, false)], Admitted),
            (vec![overdue], Overdue),
            (vec![of(State::Overdue, true)], Admitted),
            (vec![overdue, of(State::Overdue, true)], Admitted),
            (vec![paused], Paused),
            (vec![overdue, paused], Overdue),
            (vec![paused, overdue], Overdue),
            (vec![paused, overdue, of(State::Active, false)], Admitted),
            (vec![of(State::Expired, false)], Admitted),
            (
                vec![of(State::Cancelled, false), of(State::ContractEnded, false)],
                Admitted,
            ),
            (vec![of(State::Expired, false), paused], Paused),
        ] {
            assert_eq!(admission(&subscriptions), answer, "{subscriptions:?}");
        }
    }
}
