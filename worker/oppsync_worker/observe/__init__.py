"""What the worker tells people: one wide line per attempt, and one Sentry event per dead letter or unexpected error.

    lines       the registered events and the wide line of an attempt
    context     which job is being handled, for every line that is logged meanwhile
    plain       any value as bounded, harmless text
    formatting  a log record as one line, JSON or for a terminal
    logs        the root logger, set up once per process
    observer    the face of this package: it never breaks a job
    scrub       what may leave with a Sentry event; everything else stays
    reports     what Sentry is told, each error once
    sentry      the Sentry SDK, set up once per process

It knows neither the CRM nor the ledger: what hides secrets in a text is handed in as `redact`.
"""
