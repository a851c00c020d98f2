"""The client of the SprintHub CRM: the only place of the project that knows HTTP and SprintHub.

client      CrmClient: one call, one request, one answer; it never retries
exchange    what all calls have in common: one deadline, one bound, every error classified
endpoint    what is the same for every call to one instance: address, headers, time limits
transport   httpx over aiohttp's connections, with an honest account of what was sent
payloads    a job as the JSON body that SprintHub wants
lookups     the two ways to look for a record whose id is unknown
body        an answer's bytes, bounded
answers     the few fields of an answer that may be kept
marks       what an answer shows of our marker
sightings   a record in a list, compared with what is sought
listings    a list of records, understood as a whole or not at all
lists       both lists, as whoever looks for a job asks them
classify    the only place that reads a status or a body: a Record, a Listing, or an error
http_date   times in headers, and how far the CRM's clock is ahead
retry_after how long the CRM asked us to stay away
seen        what may be told of an answer
redact      taking secrets and personal data out of a text
"""
