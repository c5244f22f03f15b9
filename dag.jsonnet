// The process network of one node: what runs, what it needs to run, how many, and
// within which limits. `actordb serve` and the simulator start it in the order of
// its dependencies; `actordb dag check` says what is wrong with it, `actordb dag
// draw` shows it.
//
// A limit that is not named has its default: `actordb dag check --limits` lists all.
local KiB = 1024, MiB = 1024 * KiB;

{
  format: 1,
  processes: {
    // The truth: the journal's files.
    files: { kind: 'files', backend: 'os' },

    // Derived state: snapshots, indexes. Lost, it is rebuilt from the journal.
    kv: {
      kind: 'kv',
      backend: 'pebble',
      limits: { cache_bytes: 64 * MiB },
    },

    // Each shard owns a share of the slots, with a journal and syncs of its own. Their
    // number is fixed when a directory is made; serve without --dag makes one for two
    // processors.
    shard: {
      kind: 'shard',
      count: 2,
      needs: ['files', 'kv'],
      limits: {
        segment_bytes: 64 * MiB,
        block_bytes: 1 * MiB,
        hot_actors: 65536,
      },
    },

    // Clients' commands come in here and go to the shard of their actor.
    gateway: {
      kind: 'gateway',
      needs: ['shard'],
      limits: { pending_commands: 16384 },
    },

    // SQL: it follows the blocks of all shards, answers queries, keeps views, and tells
    // subscribers what changes. A node without it serves none.
    query: {
      kind: 'query',
      needs: ['gateway'],
      limits: { memory_bytes: 256 * MiB },
    },

    // TCP with mutual TLS 1.3.
    listener: { kind: 'listener', needs: ['query'] },

    // Queries on demand that aggregate events may be divided among workers, each of which
    // reads its share of the shards: from two on, and for as many as there are shards.
    //
    //     worker: { kind: 'worker', count: 2, needs: ['query'] },
  },
}
