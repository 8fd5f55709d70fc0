/** What the report says beside its figures: why the ratios are what they are, and where what is compared differs. */

export const INTRODUCTION = `# The last full run

\`npm run bench -- --all\` measures all of this; \`npm run bench\` the quick part, and a flag of its own each section. \`npm run bench -- --report\` makes this page and its
charts anew from \`bench/results\`, without a run.

Ratios are within one run: contenders take turns, so that a slow moment of the machine meets all of them; figures are medians, and the spread (±) is half the distance of
the quartiles. An fsync of 4 KB costs about 0.14 ms on the machines this ran on, which is cheap: compare what has the same durability, and count fsyncs rather than
microseconds. Each section tells its date, machine and load; the load at the end is mostly the bench itself.`

export const EMBEDDED = `**What the contract costs.** The store around a backend (checks, exact JSON, workspaces, deadlines, retries, events) takes about 0.4 µs a call. Single durable calls
are within 1.25 of careful hand-written code on the same engine with the same durability, because the fsync dominates; reading is as quick or quicker, since rows are read
as arrays. What is called 1,000 times at once is so by hand as well: a promise a call, ids, sequence numbers, group commit. **One loop** is the
same data by a loop in one transaction, which no caller of 1,000 promises can have. By hand a burst holds up the event loop until it is done; a Holdfast turn ends after
10 ms, and its transaction goes on in the next one. The checkpoint that follows behind the answers is counted with them.`

export const SIZES = `Half of the messages are in one long session, the others in sessions of ten. All sizes take turns, so what each line says it has **grown** is within the same
run as well; texts are 176 characters. By hand there are no workspaces, versions, TTLs or search.`

export const PEERS = `Same data, same machine, same minute, and the durability told for each. Where a contender has a default and a durable setting, both take part. A contender has
shown that it reads back what it wrote before it is timed.

- **hand-written** is careful code on the same \`node:sqlite\`: one transaction for what was called at once.
- **LangGraph** rewrites the growing list of messages at every turn, as agents use it; one message a checkpoint is the other extreme. It has no lock a thread, so calls
  to one thread are chained.
- **Mastra** sets \`synchronous\` only on the connection of its pool that ran the PRAGMA; FULL is by a client of one connection.
- **unstorage** with its fs driver is neither durable nor atomic, and **Keyv**'s default makes a transaction and an fsync of its own for every key.
- **PraisonAI** is Python, in a process of its own: its times are by its own clock, without the way there and back.`

export const SERVERS = `With the servers on the same machine. Absolute times mean little there; contenders take turns, so ratios stand, with the spread that is told. Redis, Valkey
and Postgres are real; DynamoDB Local and fake-gcs-server are emulators, whose own time hides part of ours.

What is done by hand is the same work: JSON written and parsed, an expiry that every read minds (but for Redis and Valkey, which mind it themselves),
strongly consistent reads, indexes that serve the same questions, but no workspaces and no versions. Where it is not one request against one, the difference is this:

- pgvector: a store's call first looks what the collection is like, and so does the baseline, but for the lines "collection known". Both search
  an HNSW index of the same build with \`ef_search\` 100. The store's rows have what can be filtered by in a column of its own beside the metadata.
- DynamoDB: \`setMany\` is a transaction of 100 items here, and by hand first four batches of 25 side by side, which are cheaper, and then a transaction too.
- Cloud Storage: the baseline is \`fetch\` of the very same requests, not \`@google-cloud/storage\`.
- Redis and Valkey: the baseline keeps no list of its keys, so it has no scan to compare, and its \`MSET\` writes nothing but the values.`
