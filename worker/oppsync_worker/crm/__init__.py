"""The client of the SprintHub CRM: the only place of the project that knows HTTP and SprintHub.

client      CrmClient: one call, one request, one answer; it never retries
endpoint    what is the same for every call to one instance: address, headers, time limits
transport   httpx over aiohttp's connections, with an honest account of what was sent
payloads    a job as the JSON body that SprintHub wants
body        an answer's bytes, bounded
answers     the few fields of an answer that may be kept
classify    the only place that reads a status or a body: a Record, or one of `oppsync_worker.errors`
retry_after how long the CRM asked us to stay away
seen        what may be told of an answer
redact      taking secrets and personal data out of a text
"""
