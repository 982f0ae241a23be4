"""Notes which operation answered with which status. Loaded by schemathesis, which
tests/it/contract.rs runs; one line `METHOD PATH STATUS` per answer."""

import os

import schemathesis


@schemathesis.hook
def after_call(context, case, response):
    line = f"{case.method.upper()} {case.operation.path} {response.status_code}\n"
    with open(os.environ["WEIR_CONTRACT_SEEN"], "a", encoding="utf-8") as seen:
        seen.write(line)
