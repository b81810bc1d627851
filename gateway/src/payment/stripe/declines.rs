//! Why no money was taken, by Stripe's codes.

use domain::payment::decline::Decline;

use super::words::Complaint;

/// Codes after which the same method must not be tried again: the bank will never allow it, or what we keep of the method is wrong.
const NEVER: &str = "account_closed bank_ownership_changed card_not_supported currency_not_supported debit_not_authorized \
    do_not_try_again fraudulent incorrect_address incorrect_cvc incorrect_number incorrect_pin incorrect_zip invalid_account \
    invalid_account_number invalid_cvc invalid_expiry_month invalid_expiry_year invalid_number invalid_pin lost_card \
    merchant_blacklist new_account_information_available no_account not_permitted pickup_card pin_try_exceeded restricted_card \
    revocation_of_all_authorizations revocation_of_authorization security_violation service_not_allowed stolen_card \
    stop_payment_order testmode_decline transaction_not_allowed";
/// Codes of the card networks that say "the issuer will never approve"; they fine who goes on.
const NEVER_BY_NETWORK: &str = "04 07 12 14 15 41 43 46 57 R0 R1 R3";
/// Advice of the card networks that says the same.
const NEVER_BY_ADVICE: &str = "03 21";
/// The owner was asked to confirm, and did not.
const UNCONFIRMED: &str = "authentication_not_handled payment_intent_authentication_failure";

/// Why, of a charge that was refused. A code that nobody knows here is one of those that may pass: a later attempt asks the bank anew.
pub(super) fn decline(complaint: &Complaint) -> Decline {
    let listed = |list: &str, code: &Option<String>| {
        code.as_deref()
            .is_some_and(|code| list.split(' ').any(|known| known == code))
    };
    let said = |list: &str| listed(list, &complaint.decline_code) || listed(list, &complaint.code);
    let never = said(NEVER)
        || listed("do_not_try_again", &complaint.advice_code)
        || listed(NEVER_BY_ADVICE, &complaint.network_advice_code)
        || listed(NEVER_BY_NETWORK, &complaint.network_decline_code);
    match () {
        () if said("expired_card") => Decline::ExpiredCard,
        () if said(UNCONFIRMED) => Decline::NotConfirmed,
        () if never => Decline::DoNotTryAgain,
        () if said("insufficient_funds") => Decline::InsufficientFunds,
        () => Decline::TryAgainLater,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declined(code: &str) -> Complaint {
        Complaint {
            code: Some("card_declined".to_owned()),
            decline_code: Some(code.to_owned()),
            ..Complaint::default()
        }
    }

    #[test]
    fn codes_after_which_somebody_acts_differently() {
        for (code, why) in [
            ("insufficient_funds", Decline::InsufficientFunds),
            ("expired_card", Decline::ExpiredCard),
            ("lost_card", Decline::DoNotTryAgain),
            ("stolen_card", Decline::DoNotTryAgain),
            ("pickup_card", Decline::DoNotTryAgain),
            ("fraudulent", Decline::DoNotTryAgain),
            ("do_not_try_again", Decline::DoNotTryAgain),
            ("revocation_of_authorization", Decline::DoNotTryAgain),
            ("generic_decline", Decline::TryAgainLater),
            ("do_not_honor", Decline::TryAgainLater),
            ("try_again_later", Decline::TryAgainLater),
            ("processing_error", Decline::TryAgainLater),
            ("issuer_not_available", Decline::TryAgainLater),
            ("a_code_of_next_year", Decline::TryAgainLater),
        ] {
            assert_eq!(decline(&declined(code)), why, "{code}");
        }
        let bare = Complaint {
            code: Some("expired_card".to_owned()),
            ..Complaint::default()
        };
        assert_eq!(decline(&bare), Decline::ExpiredCard);
        assert_eq!(decline(&Complaint::default()), Decline::TryAgainLater);
    }

    #[test]
    fn advice_not_to_try_again_outweighs_a_soft_code() {
        let text = |text: &str| Some(text.to_owned());
        for (advice_code, network_advice_code, network_decline_code, why) in [
            (text("do_not_try_again"), None, None, Decline::DoNotTryAgain),
            (None, text("03"), None, Decline::DoNotTryAgain),
            (None, None, text("R1"), Decline::DoNotTryAgain),
            (
                text("try_again_later"),
                text("02"),
                text("51"),
                Decline::InsufficientFunds,
            ),
        ] {
            let complaint = Complaint {
                advice_code,
                network_advice_code,
                network_decline_code,
                ..declined("insufficient_funds")
            };
            assert_eq!(decline(&complaint), why);
        }
    }
}
