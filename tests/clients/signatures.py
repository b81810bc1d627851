"""Notices that Stripe's own library for Python signs and judges. The server must say the same of each."""

import json
import os
import sys
import time
import urllib.error
import urllib.request

from stripe import SignatureVerificationError, Webhook, WebhookSignature

URL = os.environ["TALLYGATE_CLIENTS_URL"]
BEFORE, NOW = os.environ["TALLYGATE_CLIENTS_SECRETS"].split(",")
TOLERANCE = 300


def notice(number):
    body = {"id": f"evt_python_{os.getpid()}_{number}", "object": "event", "type": "charge.refunded", "created": int(time.time()), "livemode": False}
    body["data"] = {"object": {"id": "ch_1", "payment_intent": "pi_unknown", "description": "Größe ⅝ 😀"}}
    return json.dumps(body, ensure_ascii=False, indent=2)


def sign(body, secret, ago=0):
    return WebhookSignature.generate_signature_header(body, secret, int(time.time()) - ago)


def send(body, header):
    headers = {"content-type": "application/json", "stripe-signature": header}
    request = urllib.request.Request(f"{URL}/notices/stripe", body.encode(), headers)
    try:
        return urllib.request.urlopen(request, timeout=20).status
    except urllib.error.HTTPError as error:
        return error.code


def believes(body, header):
    for secret in (BEFORE, NOW):
        try:
            return Webhook.construct_event(body, header, secret, TOLERANCE).id == json.loads(body)["id"]
        except SignatureVerificationError:
            pass
    return False


def cases():
    body = notice(1)
    yield "the new secret", body, sign(body, NOW), True
    yield "the old secret", body, sign(body, BEFORE), True
    yield "another secret", body, sign(body, "whsec_of_somebody_else"), False
    yield "another body", notice(2), sign(body, NOW), False
    yield "spaces more", body + " ", sign(body, NOW), False
    yield "old, but not too old", body, sign(body, NOW, TOLERANCE - 30), True
    yield "too old", body, sign(body, NOW, TOLERANCE + 30), False
    yield "another scheme", body, sign(body, NOW).replace("v1=", "v0="), False
    other = sign(body, "whsec_of_somebody_else").partition(",")[2]
    yield "two signatures", body, f"{sign(body, NOW)},{other}", True


failed = 0
count = 0
for name, body, header, good in cases():
    count += 1
    said = believes(body, header), send(body, header)
    if said != (good, 200 if good else 400):
        failed += 1
        print(f"FAILED stripe-python: {name}: the library and the server say {said}", file=sys.stderr)
print(f"stripe-python: {count - failed} of {count} passed")
sys.exit(failed > 0)
