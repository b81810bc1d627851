"""What `webhooks.mjs` has written down, as PyPI's library of Standard Webhooks verifies it."""

import json
import os

from standardwebhooks import Webhook, WebhookVerificationError

with open(os.environ["TALLYGATE_CLIENTS_WEBHOOKS"], encoding="utf-8") as file:
    written = json.load(file)
before, now = written["secrets"]
first, both = written["messages"]


def believes(secret, message, body=None):
    try:
        Webhook(secret).verify(message["body"] if body is None else body, message["headers"])
        return True
    except WebhookVerificationError:
        return False


cases = {
    "before the secret was replaced": believes(before, first) and not believes(now, first),
    "while both sign": believes(before, both) and believes(now, both),
    "a changed body": not believes(before, first, first["body"].replace("webhook.test", "invoice.paid")),
}
failed = [name for name, good in cases.items() if not good]
print(f"standardwebhooks (PyPI): {len(cases) - len(failed)} of {len(cases)} passed")
assert not failed, failed
