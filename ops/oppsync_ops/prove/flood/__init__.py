"""`oppsync prove --flood`: as many jobs as the machine carries, with processes killed all along, and the same zeros.

1. `deals` draws the jobs from the seed, one at a time: nothing here ever holds all of them.
2. `crm` is a CRM that does little else than answer, and writes every request into a `journal` of fixed-size rows.
3. `run` hands the jobs over while workers, and now and then Redis, are killed; and waits until all of them have ended.
4. `audit` reads the journal and the ledger in pieces, and keeps some bytes for each record.

There is no budget and no fault but SIGKILL. The plain proof has many kinds of faults; this one has numbers.
"""
