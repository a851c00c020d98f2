"""The delivering side: jobs are claimed from Redis and carried to the SprintHub CRM.

Floors, from the rim down; an import may only point downwards (import-linter holds this):

    app, tasks          Celery's verbs
    engine              pool, transport, consumer, housekeeping: knows Celery, not the CRM
    runner, handlers    one attempt from start to end: knows neither Celery nor Redis commands
    crm | limits | policy | observe
    ledger              every state change as one Lua script
    errors, settings
    contract            job models, outcomes, names, the wire format

A producing application imports `contract` and `ledger` through the package `oppsync` and nothing else of this one.
"""
