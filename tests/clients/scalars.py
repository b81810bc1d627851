"""What the scalars of the schema look like, for schemathesis: mostly right, now and then wrong."""

import schemathesis
from hypothesis import strategies as st
from schemathesis.graphql import nodes

WRONG = ["", " ", "x", "-", "0x10", "NaN", "Infinity", "\u202e", "'; DROP TABLE account; --", "9" * 400]


def texts(*right):
    return st.one_of(st.sampled_from(right), st.sampled_from(right), st.sampled_from(WRONG)).map(nodes.String)


decimals = texts("0", "1", "-1", "0.000001", "12.5", "9223372036854.775807", "9223372036854.775808", "1e9", "00.10")
schemathesis.graphql.scalar("Decimal", decimals)
schemathesis.graphql.scalar("DateTime", texts("2026-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"))
schemathesis.graphql.scalar("Date", texts("2026-01-01", "0000-00-00", "9999-12-31"))
schemathesis.graphql.scalar("CountryCode", texts("DE", "US", "de", "XXX"))
schemathesis.graphql.scalar("CurrencyCode", texts("EUR", "USD", "eur"))
schemathesis.graphql.scalar("EmailAddress", texts("a@b.example", "@", "a" * 300 + "@b.example"))
schemathesis.graphql.scalar("URL", texts("https://a.example/x", "javascript:alert(1)", "http://"))
schemathesis.graphql.scalar("SafeInt", st.integers(min_value=-(2**60), max_value=2**60).map(nodes.Int))
schemathesis.graphql.scalar("JSON", st.just(nodes.Null) | st.text(max_size=20).map(nodes.String))
